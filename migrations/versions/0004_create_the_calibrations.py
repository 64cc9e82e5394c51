"""Create the calibrations of joint readings, and rank by what is calibrated.

The views' SQL means the same in SQLite and in PostgreSQL.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ARCHITECTURES = """
CREATE VIEW architectures AS
SELECT searches.name AS search, nodes.id AS node_id, nodes.depth, nodes.labels, nodes.path, nodes.output_shape,
       nodes.params, nodes.flops, sums.epochs,
       sums.total_accuracy / NULLIF(sums.evaluation_count, 0) AS average_accuracy,
       sums.total_accuracy / NULLIF(sums.evaluation_count, 0) - COALESCE(calibrations.bias, 0) AS calibrated_accuracy,
       nodes.evaluation_count, nodes.visit_count
FROM nodes
JOIN searches ON searches.id = nodes.search_id
LEFT JOIN node_budgets AS sums ON sums.node_id = nodes.id
     AND sums.epochs = (SELECT MAX(own.epochs) FROM node_budgets AS own WHERE own.node_id = nodes.id)
LEFT JOIN calibrations ON calibrations.search_id = nodes.search_id
     AND calibrations.epochs = sums.epochs AND calibrations.depth = nodes.depth
"""

BEST_PREFIXES = """
CREATE VIEW best_prefixes AS
SELECT searches.name AS search, nodes.labels, nodes.depth,
       CAST(ROUND(CAST(sums.average_accuracy AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(sums.average_accuracy - COALESCE(calibrations.bias, 0) AS NUMERIC), 4) AS DOUBLE PRECISION)
           AS calibrated_accuracy,
       nodes.evaluation_count, nodes.visit_count, nodes.params, nodes.flops, sums.epochs, sums.node_id
FROM node_budgets AS sums
JOIN nodes ON nodes.id = sums.node_id
JOIN searches ON searches.id = sums.search_id
LEFT JOIN calibrations ON calibrations.search_id = sums.search_id
     AND calibrations.epochs = sums.epochs AND calibrations.depth = sums.depth
WHERE sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used WHERE used.search_id = sums.search_id)
ORDER BY sums.average_accuracy - COALESCE(calibrations.bias, 0) DESC, sums.params_rank, sums.node_id
"""

ARCHITECTURES_BEFORE = """
CREATE VIEW architectures AS
SELECT searches.name AS search, nodes.id AS node_id, nodes.depth, nodes.labels, nodes.path, nodes.output_shape,
       nodes.params, nodes.flops, sums.epochs,
       sums.total_accuracy / NULLIF(sums.evaluation_count, 0) AS average_accuracy,
       nodes.evaluation_count, nodes.visit_count
FROM nodes
JOIN searches ON searches.id = nodes.search_id
LEFT JOIN node_budgets AS sums ON sums.node_id = nodes.id
     AND sums.epochs = (SELECT MAX(own.epochs) FROM node_budgets AS own WHERE own.node_id = nodes.id)
"""

BEST_PREFIXES_BEFORE = """
CREATE VIEW best_prefixes AS
SELECT searches.name AS search, nodes.labels, nodes.depth,
       CAST(ROUND(CAST(sums.average_accuracy AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       nodes.evaluation_count, nodes.visit_count, nodes.params, nodes.flops, sums.epochs, sums.node_id
FROM node_budgets AS sums
CROSS JOIN nodes
CROSS JOIN searches
WHERE nodes.id = sums.node_id AND searches.id = sums.search_id
      AND sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used WHERE used.search_id = sums.search_id)
ORDER BY sums.average_accuracy DESC, sums.params_rank, sums.node_id
"""


def upgrade() -> None:
    op.create_table(
        "separate_evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Integer(), nullable=False),
        sa.Column("episode_id", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("train_seconds", sa.Double(), nullable=True),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f("ck_separate_evaluations_accuracy")),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{table}.id"], name=op.f(f"fk_separate_evaluations_{column}_{table}"), ondelete="CASCADE"
            )
            for column, table in (("episode_id", "episodes"), ("node_id", "nodes"), ("search_id", "searches"))
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_separate_evaluations")),
        sa.UniqueConstraint("episode_id", "node_id", name=op.f("uq_separate_evaluations_episode_id_node_id")),
    )
    op.create_index(op.f("ix_separate_evaluations_search_id"), "separate_evaluations", ["search_id"])
    op.create_table(
        "calibrations",
        sa.Column("search_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epochs", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("depth", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bias", sa.Double(), nullable=False),
        sa.Column("deviation", sa.Double(), nullable=False),
        sa.Column("pair_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_calibrations_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", "epochs", "depth", name=op.f("pk_calibrations")),
    )
    _replace_views(ARCHITECTURES, BEST_PREFIXES)
    # The order of the raw averages, by which nothing ranks any more.
    op.drop_index("ix_node_budgets_average", "node_budgets")


def downgrade() -> None:
    op.create_index("ix_node_budgets_average", "node_budgets", [sa.desc("average_accuracy"), "params_rank", "node_id"])
    _replace_views(ARCHITECTURES_BEFORE, BEST_PREFIXES_BEFORE)
    op.drop_table("calibrations")
    op.drop_table("separate_evaluations")


def _replace_views(architectures: str, best_prefixes: str) -> None:
    op.execute("DROP VIEW best_prefixes")
    op.execute("DROP VIEW architectures")
    op.execute(architectures)
    op.execute(best_prefixes)
