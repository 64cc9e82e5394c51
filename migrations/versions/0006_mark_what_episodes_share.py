"""Mark the evaluations that copy those of another episode of the same training: they are in no sum.

Older evaluations stay as they were counted, because nothing tells which of them are copies. A downgrade counts the
copies again, like the older revisions, so that their sums agree with the evaluations.

The view best_prefixes also gets an index that it reads from the best row on, so that a LIMIT ends the scan unless a
search is calibrated. `replaytree bench storage` measures the gain and the cost.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COUNT_IN_NODES = """
UPDATE nodes SET
    evaluation_count = (SELECT COUNT(*) FROM evaluations WHERE evaluations.node_id = nodes.id),
    total_accuracy = (SELECT SUM(accuracy) FROM evaluations WHERE evaluations.node_id = nodes.id)
WHERE id IN (SELECT node_id FROM evaluations WHERE shared)
"""

_COPIED = "EXISTS (SELECT 1 FROM evaluations AS v WHERE v.node_id = {0}.node_id AND v.epochs = {0}.epochs AND v.shared)"
_SINGLE = "FROM evaluations AS v WHERE v.node_id = node_budgets.node_id AND v.epochs = node_budgets.epochs"

COUNT_IN_NODE_BUDGETS = f"""
UPDATE node_budgets SET
    evaluation_count = (SELECT COUNT(*) {_SINGLE}),
    total_accuracy = (SELECT SUM(v.accuracy) {_SINGLE})
WHERE {_COPIED.format("node_budgets")}
"""

AVERAGE_IN_NODE_BUDGETS = f"""
UPDATE node_budgets SET
    average_accuracy = total_accuracy / evaluation_count,
    squared_deviations = (
        SELECT SUM((v.accuracy - total_accuracy / evaluation_count) * (v.accuracy - total_accuracy / evaluation_count))
        {_SINGLE})
WHERE {_COPIED.format("node_budgets")}
"""

_NOISE = """(
    SELECT {0} FROM (
        SELECT search_id, epochs, evaluation_count, squared_deviations,
               CASE WHEN 1.0 - average_accuracy < 1e-4 THEN 1e-4 ELSE 1.0 - average_accuracy END AS error
        FROM node_budgets) AS sums
    WHERE sums.search_id = budgets.search_id AND sums.epochs = budgets.epochs)"""

COUNT_IN_BUDGETS = f"""
UPDATE budgets SET
    repeat_count = {_NOISE.format("SUM(evaluation_count - 1)")},
    relative_squares = {_NOISE.format("SUM(squared_deviations / (error * error))")}
WHERE EXISTS (SELECT 1 FROM evaluations AS v
              WHERE v.search_id = budgets.search_id AND v.epochs = budgets.epochs AND v.shared)
"""

_ROWS = """
       SELECT searches.name AS search, nodes.labels, nodes.depth, sums.average_accuracy, {calibrated} AS calibrated,
              nodes.evaluation_count, nodes.visit_count, nodes.params, nodes.flops, sums.epochs, sums.node_id,
              sums.params_rank"""

# Two lists that are merged: the averages of searches without a calibration come from the index, in order; those of
# the others are sorted. The joins are written in the order in which SQLite then takes them. The first list is not even
# begun where every search is calibrated. Nothing may be joined to the lists: SQLite would forget their order.
BEST_PREFIXES = f"""
CREATE VIEW best_prefixes AS
SELECT search, labels, depth,
       CAST(ROUND(CAST(average_accuracy AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(calibrated AS NUMERIC), 4) AS DOUBLE PRECISION) AS calibrated_accuracy,
       evaluation_count, visit_count, params, flops, epochs, node_id
FROM ({_ROWS.format(calibrated="sums.average_accuracy")}
       FROM node_budgets AS sums
       CROSS JOIN nodes
       CROSS JOIN searches
       WHERE EXISTS (SELECT 1 FROM searches AS raw WHERE raw.id NOT IN (SELECT search_id FROM calibrations))
             AND sums.search_id NOT IN (SELECT search_id FROM calibrations)
             AND sums.epochs = (SELECT MAX(used.epochs) FROM node_budgets AS used
                                WHERE used.search_id = sums.search_id)
             AND nodes.id = sums.node_id AND searches.id = sums.search_id
       UNION ALL{_ROWS.format(calibrated="sums.average_accuracy - COALESCE(calibrations.bias, 0)")}
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

BEST_PREFIXES_BEFORE = """
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


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("shared", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_node_budgets_average", "node_budgets", [sa.desc("average_accuracy"), "params_rank", "node_id"])
    op.execute("DROP VIEW best_prefixes")
    op.execute(BEST_PREFIXES)


def downgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.execute(BEST_PREFIXES_BEFORE)
    op.drop_index("ix_node_budgets_average", "node_budgets")
    for statement in (COUNT_IN_NODES, COUNT_IN_NODE_BUDGETS, AVERAGE_IN_NODE_BUDGETS, COUNT_IN_BUDGETS):
        op.execute(statement)
    op.drop_column("evaluations", "shared")
