"""Store what a trained model took the images of each class for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "class_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=True),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("actual", sa.Text(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("pictures", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("part IN ('test', 'validation')", name=op.f("ck_class_results_part")),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_class_results_search_id_searches"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_class_results_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class_results")),
        sa.UniqueConstraint("model_id", "actual", "predicted", name=op.f("uq_class_results_model_id_actual_predicted")),
    )
    op.create_index(op.f("ix_class_results_search_id"), "class_results", ["search_id"])


def downgrade() -> None:
    op.drop_table("class_results")
