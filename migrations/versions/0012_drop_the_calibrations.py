"""Drop the calibrations of joint readings, and rank by the plain averages.

A downgrade makes the tables again, empty, so that the older revisions rank by the plain averages, too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ARCHITECTURES = """
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

# Written as in 0007, for the same reasons.
BEST_PREFIXES = """
CREATE VIEW best_prefixes AS
SELECT search,
       (SELECT nodes.labels FROM nodes WHERE nodes.id = ranked.node_id) AS labels,
       depth,
       CAST(ROUND(CAST(average AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(bound AS NUMERIC), 4) AS DOUBLE PRECISION) AS training_bound,
       budget_evaluation_count,
       (SELECT nodes.evaluation_count FROM nodes WHERE nodes.id = ranked.node_id) AS evaluation_count,
       (SELECT nodes.visit_count FROM nodes WHERE nodes.id = ranked.node_id) AS visit_count,
       (SELECT nodes.params FROM nodes WHERE nodes.id = ranked.node_id) AS params,
       (SELECT nodes.flops FROM nodes WHERE nodes.id = ranked.node_id) AS flops,
       epochs, node_id
FROM (SELECT searches.name AS search, sums.depth, sums.average_accuracy AS average,
             sums.evaluation_count AS budget_evaluation_count, sums.epochs, sums.node_id, sums.params_rank,
             CASE WHEN noise_factors.factor IS NULL THEN sums.average_accuracy
                  ELSE 1.0 - (CASE WHEN 1.0 - sums.average_accuracy < 1e-4 THEN 1e-4
                                   ELSE 1.0 - sums.average_accuracy END) * noise_factors.factor END AS bound
      FROM searches
      CROSS JOIN node_budgets AS sums
      LEFT JOIN noise_factors ON noise_factors.search_id = sums.search_id
           AND noise_factors.epochs = sums.epochs AND noise_factors.evaluation_count = sums.evaluation_count
      WHERE sums.search_id = searches.id
            AND sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used
                               WHERE used.search_id = searches.id)) AS ranked
ORDER BY bound DESC, average DESC, params_rank, node_id
"""

ARCHITECTURES_BEFORE = """
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

BEST_PREFIXES_BEFORE = """
CREATE VIEW best_prefixes AS
SELECT search,
       (SELECT nodes.labels FROM nodes WHERE nodes.id = ranked.node_id) AS labels,
       depth,
       CAST(ROUND(CAST(average AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(calibrated AS NUMERIC), 4) AS DOUBLE PRECISION) AS calibrated_accuracy,
       CAST(ROUND(CAST(bound AS NUMERIC), 4) AS DOUBLE PRECISION) AS training_bound,
       budget_evaluation_count,
       (SELECT nodes.evaluation_count FROM nodes WHERE nodes.id = ranked.node_id) AS evaluation_count,
       (SELECT nodes.visit_count FROM nodes WHERE nodes.id = ranked.node_id) AS visit_count,
       (SELECT nodes.params FROM nodes WHERE nodes.id = ranked.node_id) AS params,
       (SELECT nodes.flops FROM nodes WHERE nodes.id = ranked.node_id) AS flops,
       epochs, node_id
FROM (SELECT search, depth, average, evaluation_count AS budget_evaluation_count, epochs, node_id, params_rank,
             CASE WHEN factor IS NULL THEN raw
                  ELSE 1.0 - (CASE WHEN 1.0 - raw < 1e-4 THEN 1e-4 ELSE 1.0 - raw END) * factor END AS bound,
             CASE WHEN raw < 0.0 THEN 0.0 WHEN raw > 1.0 THEN 1.0 ELSE raw END AS calibrated
      FROM (SELECT searches.name AS search, sums.depth, sums.average_accuracy AS average, sums.evaluation_count,
                   sums.epochs, sums.node_id, sums.params_rank, noise_factors.factor,
                   sums.average_accuracy - COALESCE(calibrations.bias, 0.0) AS raw
            FROM searches
            CROSS JOIN node_budgets AS sums
            LEFT JOIN noise_factors ON noise_factors.search_id = sums.search_id
                 AND noise_factors.epochs = sums.epochs AND noise_factors.evaluation_count = sums.evaluation_count
            LEFT JOIN calibrations ON calibrations.search_id = sums.search_id
                 AND calibrations.epochs = sums.epochs AND calibrations.depth = sums.depth
            WHERE sums.search_id = searches.id
                  AND sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used
                                     WHERE used.search_id = searches.id)) AS measured) AS ranked
ORDER BY bound DESC, calibrated DESC, params_rank, node_id
"""


def upgrade() -> None:
    _drop_views()
    op.drop_table("calibrations")
    op.drop_table("separate_evaluations")
    op.execute(ARCHITECTURES)
    op.execute(BEST_PREFIXES)


def downgrade() -> None:
    _drop_views()
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
    op.execute(ARCHITECTURES_BEFORE)
    op.execute(BEST_PREFIXES_BEFORE)


def _drop_views() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.execute("DROP VIEW architectures")
