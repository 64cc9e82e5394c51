"""Store which models are baselines, what a model costs, how it was trained, and its validation accuracy."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

COLUMNS = (
    ("baseline", sa.Text()),
    ("params", sa.BigInteger()),
    ("flops", sa.BigInteger()),
    ("ram_bytes", sa.BigInteger()),
    ("validation_accuracy", sa.Double()),
    ("validation_image_count", sa.Integer()),
    ("training_json", sa.Text()),
)


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column("models", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name, _ in reversed(COLUMNS):
        op.drop_column("models", name)
