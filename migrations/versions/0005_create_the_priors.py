"""Create the priors: the measurements of another search with which a search starts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "priors",
        sa.Column("search_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("epochs", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("evaluation_count", sa.Integer(), nullable=False),
        sa.Column("total_accuracy", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_priors_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", "path", "epochs", name=op.f("pk_priors")),
    )


def downgrade() -> None:
    op.drop_table("priors")
