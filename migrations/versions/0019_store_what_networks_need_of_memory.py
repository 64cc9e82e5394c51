"""Store what the network of every node needs of RAM and of flash, with 8 bits a number.

The nodes of older searches get both where their space can be rebuilt from its description, and else NULL.
"""

from __future__ import annotations

import json
import logging

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ARCHITECTURES = """
CREATE VIEW architectures AS
SELECT searches.name AS search, nodes.id AS node_id, nodes.depth, nodes.labels, nodes.decisions, nodes.path,
       nodes.output_shape, nodes.params, nodes.flops, nodes.ram_bytes, nodes.flash_bytes, sums.epochs,
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
       CAST(ROUND(CAST(average AS NUMERIC), digits) AS DOUBLE PRECISION) AS average_accuracy,
       CAST(ROUND(CAST(bound AS NUMERIC), digits) AS DOUBLE PRECISION) AS training_bound,
       budget_evaluation_count,
       (SELECT nodes.evaluation_count FROM nodes WHERE nodes.id = ranked.node_id) AS evaluation_count,
       (SELECT nodes.visit_count FROM nodes WHERE nodes.id = ranked.node_id) AS visit_count,
       (SELECT nodes.params FROM nodes WHERE nodes.id = ranked.node_id) AS params,
       (SELECT nodes.flops FROM nodes WHERE nodes.id = ranked.node_id) AS flops,
       (SELECT nodes.ram_bytes FROM nodes WHERE nodes.id = ranked.node_id) AS ram_bytes,
       (SELECT nodes.flash_bytes FROM nodes WHERE nodes.id = ranked.node_id) AS flash_bytes,
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

COLUMNS = ("ram_bytes", "flash_bytes")
VIEWS = {"architectures": ARCHITECTURES, "best_prefixes": BEST_PREFIXES}
# As 0013 and 0015 made them.
VIEWS_BEFORE = {
    "architectures": ARCHITECTURES.replace(" nodes.ram_bytes, nodes.flash_bytes,", ""),
    "best_prefixes": "\n".join(
        line for line in BEST_PREFIXES.split("\n") if not any(f"AS {column}," in line for column in COLUMNS)
    ),
}
NODES = sa.text("SELECT id, path FROM nodes WHERE search_id = :search ORDER BY id")
FILL = sa.text("UPDATE nodes SET ram_bytes = :ram_bytes, flash_bytes = :flash_bytes WHERE id = :id")
AT_ONCE = 1000
# So many networks of cells need a quarter of a minute.
MANY = 10_000


def upgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    for column in COLUMNS:
        op.add_column("nodes", sa.Column(column, sa.BigInteger(), nullable=True))
    for statement in VIEWS.values():
        op.execute(statement)
    for search_id, space_json in op.get_bind().execute(sa.text("SELECT id, space_json FROM searches")).all():
        fill(search_id, space_json)


def downgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    for column in COLUMNS:
        op.drop_column("nodes", column)
    for statement in VIEWS_BEFORE.values():
        op.execute(statement)


def fill(search_id: int, space_json: str) -> None:
    """Compute the columns of a search's nodes; they stay NULL where what is stored of it describes no networks."""
    # What a network needs follows from its layers, which only the package knows.
    from replaytree.space.costs import costs_of
    from replaytree.space.description import Outline, outline

    try:
        space = outline(json.loads(space_json))
    except (TypeError, ValueError):
        return
    if isinstance(space, Outline):
        return
    connection = op.get_bind()
    rows = []
    nodes = connection.execute(NODES, {"search": search_id}).all()
    if len(nodes) >= MANY:
        logging.getLogger("replaytree").warning(
            "computing what %s networks need of memory; of chains this takes seconds, of cells minutes",
            f"{len(nodes):,}",
        )
    for node_id, path in nodes:
        try:
            actions = tuple(map(int, path.split(".")))
            rows.append(costs_of(space, actions, COLUMNS) | {"id": node_id})
        except (AttributeError, IndexError, TypeError, ValueError):
            # `replaytree db check` says what is wrong with such a node.
            continue
    for start in range(0, len(rows), AT_ONCE):
        connection.execute(FILL, rows[start : start + AT_ONCE])
