"""Mark the evaluations that are copies of what another episode of the same training has: they are in no sum.

What was stored before is left as it was counted; which of it are copies was not kept. A downgrade counts the copies
again, as the revisions below do, so that the sums there agree with the evaluations.
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


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("shared", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    for statement in (COUNT_IN_NODES, COUNT_IN_NODE_BUDGETS, AVERAGE_IN_NODE_BUDGETS, COUNT_IN_BUDGETS):
        op.execute(statement)
    op.drop_column("evaluations", "shared")
