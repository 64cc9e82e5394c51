"""Store the number of test images of a model's accuracy, which its interval needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("test_image_count", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "test_image_count")
