"""Rank prefixes by an index, and keep the noise of trainings as running sums.

`node_budgets` gets the columns that rankings use: the average; the depth and parameters of its node, which never
change; and the squared deviations of the noise, which `budgets` sums. One statement fills each table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Unknown parameters come last.
ADDED = {
    "squared_deviations": sa.Double(),
    "depth": sa.Integer(),
    "average_accuracy": sa.Double(),
    "params_rank": sa.BigInteger(),
}

FILL_NODE_BUDGETS = """
UPDATE node_budgets SET
    average_accuracy = total_accuracy / evaluation_count,
    squared_deviations = (
        SELECT COALESCE(SUM((single.accuracy - total_accuracy / evaluation_count)
                            * (single.accuracy - total_accuracy / evaluation_count)), 0.0)
        FROM evaluations AS single
        WHERE single.node_id = node_budgets.node_id AND single.epochs = node_budgets.epochs),
    depth = (SELECT nodes.depth FROM nodes WHERE nodes.id = node_budgets.node_id),
    params_rank = (SELECT COALESCE(nodes.params, 9223372036854775807) FROM nodes WHERE nodes.id = node_budgets.node_id)
"""

FILL_BUDGETS = """
INSERT INTO budgets (search_id, epochs, repeat_count, relative_squares)
SELECT search_id, epochs, SUM(evaluation_count - 1), SUM(squared_deviations / (error * error))
FROM (SELECT search_id, epochs, evaluation_count, squared_deviations,
             CASE WHEN 1.0 - average_accuracy < 1e-4 THEN 1e-4 ELSE 1.0 - average_accuracy END AS error
      FROM node_budgets) AS sums
GROUP BY search_id, epochs
"""

# The joins are written in the order in which SQLite then takes them: best first, so that a LIMIT ends the scan.
BEST_PREFIXES = """
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

BEST_PREFIXES_BEFORE = """
CREATE VIEW best_prefixes AS
SELECT ranked.search, ranked.labels, ranked.depth,
       CAST(ROUND(CAST(ranked.average_accuracy AS NUMERIC), 4) AS DOUBLE PRECISION) AS average_accuracy,
       ranked.evaluation_count, ranked.visit_count, ranked.params, ranked.flops, ranked.epochs, ranked.node_id
FROM architectures AS ranked
JOIN (SELECT searches.name AS search, MAX(node_budgets.epochs) AS epochs
      FROM node_budgets JOIN searches ON searches.id = node_budgets.search_id
      GROUP BY searches.name) AS largest
     ON largest.search = ranked.search AND largest.epochs = ranked.epochs
ORDER BY ranked.average_accuracy DESC, ranked.params IS NULL, ranked.params, ranked.node_id
"""


def upgrade() -> None:
    # A view keeps SQLite from rebuilding a table that it reads.
    op.execute("DROP VIEW best_prefixes")
    op.execute("DROP VIEW architectures")
    op.create_table(
        "budgets",
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("repeat_count", sa.Integer(), nullable=False),
        sa.Column("relative_squares", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_budgets_search_id_searches"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", "epochs", name=op.f("pk_budgets")),
    )
    op.drop_index(op.f("ix_node_budgets_search_id_epochs"), "node_budgets")
    for name, kind in ADDED.items():
        op.add_column("node_budgets", sa.Column(name, kind, nullable=True))
    op.execute(FILL_NODE_BUDGETS)
    with op.batch_alter_table("node_budgets") as batch:
        for name, kind in ADDED.items():
            batch.alter_column(name, existing_type=kind, nullable=False)
    op.execute(FILL_BUDGETS)
    op.create_index(
        "ix_node_budgets_ranking",
        "node_budgets",
        ["search_id", "epochs", "depth", "evaluation_count", sa.desc("average_accuracy"), "params_rank", "node_id"],
    )
    op.create_index("ix_node_budgets_average", "node_budgets", [sa.desc("average_accuracy"), "params_rank", "node_id"])
    op.execute(ARCHITECTURES)
    op.execute(BEST_PREFIXES)


def downgrade() -> None:
    op.execute("DROP VIEW best_prefixes")
    op.execute("DROP VIEW architectures")
    op.drop_index("ix_node_budgets_average", "node_budgets")
    op.drop_index("ix_node_budgets_ranking", "node_budgets")
    with op.batch_alter_table("node_budgets") as batch:
        for name in ADDED:
            batch.drop_column(name)
    op.create_index(op.f("ix_node_budgets_search_id_epochs"), "node_budgets", ["search_id", "epochs"])
    op.drop_table("budgets")
    op.execute(ARCHITECTURES)
    op.execute(BEST_PREFIXES_BEFORE)
