"""Note in the lease which training is under way, and in which ones a process died."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("leases", sa.Column("deaths", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("leases", "deaths")
