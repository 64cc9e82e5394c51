"""Create the references to the files of evaluators' states, and the scores that leaders were given once more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evaluator_states",
        sa.Column("search_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("epochs_before", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_evaluator_states_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_evaluator_states")),
    )
    op.create_table(
        "rescores",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f("ck_rescores_accuracy")),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{table}.id"], name=op.f(f"fk_rescores_{column}_{table}"), ondelete="CASCADE"
            )
            for column, table in (("search_id", "searches"), ("node_id", "nodes"))
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rescores")),
        sa.UniqueConstraint("node_id", "epochs", name=op.f("uq_rescores_node_id_epochs")),
    )
    op.create_index(op.f("ix_rescores_search_id_epochs"), "rescores", ["search_id", "epochs"])


# A rescore is the only score of its node at its epochs, so its share of the sums is a row, or one of a count.
TAKE_OUT = (
    "DELETE FROM node_budgets WHERE EXISTS (SELECT 1 FROM rescores r WHERE r.node_id = node_budgets.node_id"
    " AND r.epochs = node_budgets.epochs)",
    "UPDATE nodes SET"
    " evaluation_count = evaluation_count - (SELECT COUNT(*) FROM rescores r WHERE r.node_id = nodes.id),"
    " total_accuracy = total_accuracy - (SELECT SUM(r.accuracy) FROM rescores r WHERE r.node_id = nodes.id)"
    " WHERE id IN (SELECT node_id FROM rescores)",
    "UPDATE noise_factors SET node_count = node_count - (SELECT COUNT(*) FROM rescores r"
    " WHERE r.search_id = noise_factors.search_id AND r.epochs = noise_factors.epochs) WHERE evaluation_count = 1",
    "DELETE FROM noise_factors WHERE node_count = 0",
    "DELETE FROM budgets WHERE NOT EXISTS (SELECT 1 FROM node_budgets b WHERE b.search_id = budgets.search_id"
    " AND b.epochs = budgets.epochs)",
)


def downgrade() -> None:
    for statement in TAKE_OUT:
        op.execute(statement)
    op.drop_table("rescores")
    op.drop_table("evaluator_states")
