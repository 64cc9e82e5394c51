"""Store the task of a search, and rank text by the logarithm of its perplexity."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Written as in 0007, for the same reasons. Of text the stored averages are 1 / perplexity, which need more digits.
BEST_PREFIXES = """
CREATE VIEW best_prefixes AS
SELECT search,
       (SELECT nodes.labels FROM nodes WHERE nodes.id = ranked.node_id) AS labels,
       depth,
       CAST(ROUND(CAST(average AS NUMERIC), digits) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(bound AS NUMERIC), digits) AS DOUBLE PRECISION) AS training_bound,
       budget_evaluation_count,
       (SELECT nodes.evaluation_count FROM nodes WHERE nodes.id = ranked.node_id) AS evaluation_count,
       (SELECT nodes.visit_count FROM nodes WHERE nodes.id = ranked.node_id) AS visit_count,
       (SELECT nodes.params FROM nodes WHERE nodes.id = ranked.node_id) AS params,
       (SELECT nodes.flops FROM nodes WHERE nodes.id = ranked.node_id) AS flops,
       epochs, node_id
FROM (SELECT searches.name AS search, sums.depth, sums.average_accuracy AS average,
             sums.evaluation_count AS budget_evaluation_count, sums.epochs, sums.node_id, sums.params_rank,
             CASE WHEN searches.task = 'text' THEN 8 ELSE 4 END AS digits,
             CASE WHEN noise_factors.factor IS NULL THEN sums.average_accuracy
                  WHEN searches.task = 'text' THEN sums.average_accuracy / noise_factors.factor
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

# As 0012 made it.
BEST_PREFIXES_BEFORE = (
    BEST_PREFIXES.replace("             CASE WHEN searches.task = 'text' THEN 8 ELSE 4 END AS digits,\n", "")
    .replace("                  WHEN searches.task = 'text' THEN sums.average_accuracy / noise_factors.factor\n", "")
    .replace(", digits)", ", 4)")
)


def upgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.add_column("searches", sa.Column("task", sa.Text(), server_default="images", nullable=False))
    op.execute(BEST_PREFIXES)


def downgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.drop_column("searches", "task")
    op.execute(BEST_PREFIXES_BEFORE)
