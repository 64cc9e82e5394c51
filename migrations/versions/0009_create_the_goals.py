"""Create the goals: how far a search is to go, so that an interrupted one knows what is left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "goals",
        sa.Column("search_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("episodes", sa.BigInteger(), nullable=True),
        sa.Column("trainings", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("used_seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_goals_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_goals")),
    )


def downgrade() -> None:
    op.drop_table("goals")
