"""Store what paths reach at the checkpoint of their budget in a table instead of the strategy's state.

A state is written with every training, and this part of it grew with every training. When a search is resumed, it moves
the entries of its state into the table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("search_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epochs", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("path_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_checkpoints_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", "epochs", "accuracy", name=op.f("pk_checkpoints")),
    )


def downgrade() -> None:
    op.drop_table("checkpoints")
