"""Rank best_prefixes like `replaytree best`: by the bound from the noise of trainings, not by the average.

SQLite may have been built without exp and sqrt, so exp(noise / sqrt(evaluation_count)) is kept in `noise_factors`, a
row for each search, budget and count; the view then needs arithmetic alone. No index can hold that order, since the
noise moves with every training: the view reads all prefixes of the largest budget, and looks up the rest of a row only
if the LIMIT includes it. `replaytree bench storage` measures the cost.
"""

from __future__ import annotations

import math

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

GROUPS = """
SELECT sums.search_id, sums.epochs, sums.evaluation_count, COUNT(*) AS node_count,
       MAX(budgets.repeat_count) AS repeat_count, MAX(budgets.relative_squares) AS relative_squares
FROM node_budgets AS sums
LEFT JOIN budgets ON budgets.search_id = sums.search_id AND budgets.epochs = sums.epochs
GROUP BY sums.search_id, sums.epochs, sums.evaluation_count
"""

# The joins are written in the order in which SQLite then takes them: `searches` says which budget, an index has its
# rows. With LIMIT, SQLite computes the columns of the outer list only for rows that come among the first: so those of
# `nodes` are asked for one by one.
BEST_PREFIXES = """
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

_ROWS_BEFORE = """
       SELECT searches.name AS search, nodes.labels, nodes.depth, sums.average_accuracy, {calibrated} AS calibrated,
              nodes.evaluation_count, nodes.visit_count, nodes.params, nodes.flops, sums.epochs, sums.node_id,
              sums.params_rank"""

BEST_PREFIXES_BEFORE = f"""
CREATE VIEW best_prefixes AS
SELECT search, labels, depth,
       CAST(ROUND(CAST(average_accuracy AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(calibrated AS NUMERIC), 4) AS DOUBLE PRECISION) AS calibrated_accuracy,
       evaluation_count, visit_count, params, flops, epochs, node_id
FROM ({_ROWS_BEFORE.format(calibrated="sums.average_accuracy")}
       FROM node_budgets AS sums
       CROSS JOIN nodes
       CROSS JOIN searches
       WHERE EXISTS (SELECT 1 FROM searches AS raw WHERE raw.id NOT IN (SELECT search_id FROM calibrations))
             AND sums.search_id NOT IN (SELECT search_id FROM calibrations)
             AND sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used
                                WHERE used.search_id = sums.search_id)
             AND nodes.id = sums.node_id AND searches.id = sums.search_id
       UNION ALL{_ROWS_BEFORE.format(calibrated="sums.average_accuracy - COALESCE(calibrations.bias, 0)")}
       FROM searches
       CROSS JOIN node_budgets AS sums
       CROSS JOIN nodes
       LEFT JOIN calibrations ON calibrations.search_id = sums.search_id
            AND calibrations.epochs = sums.epochs AND calibrations.depth = sums.depth
       WHERE searches.id IN (SELECT search_id FROM calibrations) AND sums.search_id = searches.id
             AND sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used WHERE used.search_id = searches.id)
             AND nodes.id = sums.node_id
       ORDER BY calibrated DESC, params_rank, node_id) AS ranked
"""


def upgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    factors = op.create_table(
        "noise_factors",
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("evaluation_count", sa.Integer(), nullable=False),
        sa.Column("node_count", sa.Integer(), nullable=False),
        sa.Column("factor", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_noise_factors_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", "epochs", "evaluation_count", name=op.f("pk_noise_factors")),
    )
    rows = [
        {
            "search_id": row.search_id,
            "epochs": row.epochs,
            "evaluation_count": row.evaluation_count,
            "node_count": row.node_count,
            "factor": _factor(row.repeat_count, row.relative_squares, row.evaluation_count),
        }
        for row in op.get_bind().execute(sa.text(GROUPS))
    ]
    op.bulk_insert(factors, rows)
    op.drop_index("ix_node_budgets_average", "node_budgets")
    op.execute(BEST_PREFIXES)


def downgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.create_index("ix_node_budgets_average", "node_budgets", [sa.desc("average_accuracy"), "params_rank", "node_id"])
    op.execute(BEST_PREFIXES_BEFORE)
    op.drop_table("noise_factors")


def _factor(repeat_count: int | None, relative_squares: float, count: int) -> float | None:
    if not repeat_count or count < 1:
        return None
    noise = math.sqrt(max(relative_squares, 0.0) / repeat_count)
    return math.exp(min(noise / math.sqrt(count), 700.0))
