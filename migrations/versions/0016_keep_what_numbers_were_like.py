"""Add what the numbers of differentiable strategies were like to their episodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("episodes", sa.Column("mixed_json", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("episodes", "mixed_json")
