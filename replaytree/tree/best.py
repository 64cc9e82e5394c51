"""The best prefixes, found by reading a few rows, whatever the size of the tree.

The prefixes of one depth and one number of evaluations form a group. Within a group the bound rises with the average,
which is the order of the index `ix_node_budgets_ranking`. So a group is read from its best row on, and is skipped where
the bound of that row is not among the k best. A tree has few groups: 360 in a tree of 355,000 nodes and 15 layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

from sqlalchemy import Connection, text

from replaytree.config.limits import LIMITS, CostLimits
from replaytree.metric import ACCURACY, Metric
from replaytree.tree.ranking import least_average, training_bound
from replaytree.tree.schema import node_budgets

# The next depth, and the next count within a depth, are one step into the index each; DISTINCT would read all of it.
_OWN = "node_budgets WHERE search_id = :search AND epochs = :epochs"
_GROUPS = text(f"""
WITH RECURSIVE
depths (depth) AS (
    SELECT (SELECT MIN(depth) FROM {_OWN})
    UNION ALL
    SELECT (SELECT MIN(depth) FROM {_OWN} AND depth > depths.depth)
    FROM depths WHERE depths.depth < :max_depth
),
counts (depth, evaluation_count) AS (
    SELECT depth, (SELECT MIN(evaluation_count) FROM {_OWN} AND depth = depths.depth AND evaluation_count > 0)
    FROM depths WHERE depth <= :max_depth
    UNION ALL
    SELECT depth, (SELECT MIN(evaluation_count) FROM {_OWN} AND depth = counts.depth
                   AND evaluation_count > counts.evaluation_count)
    FROM counts WHERE counts.evaluation_count IS NOT NULL
)
SELECT depth, evaluation_count, (SELECT average_accuracy FROM {_OWN} AND depth = counts.depth
                                 AND evaluation_count = counts.evaluation_count ORDER BY average_accuracy DESC LIMIT 1)
FROM counts WHERE evaluation_count IS NOT NULL
""").columns(node_budgets.c.depth, node_budgets.c.evaluation_count, node_budgets.c.average_accuracy)

_MEMBERS = f"""
SELECT node_id, average_accuracy, params_rank
FROM {_OWN} AND depth = :depth AND evaluation_count = :count AND average_accuracy >= :least %s
ORDER BY average_accuracy DESC, params_rank, node_id LIMIT :k
"""
_WITHIN_PARAMS = "AND params_rank <= :max_params"
_WITHIN = "AND EXISTS (SELECT 1 FROM nodes WHERE nodes.id = node_budgets.node_id AND nodes.{cost} <= :{limit})"

_MAX_DEPTH = 2**31 - 1


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """The key of ranking.rank: the bound, negated; the average, negated; parameters; age."""

    bound: float
    average: float
    params: int
    node_id: int


def best_ids(
    connection: Connection,
    search_id: int,
    *,
    epochs: int,
    k: int,
    noise: float | None,
    metric: Metric = ACCURACY,
    max_depth: int | None = None,
    **limits: Unpack[CostLimits],
) -> list[int]:
    """The ids of the k nodes of the best training bound at one budget, best first; `noise` is its training_noise.

    Ties go to the better average, to fewer parameters, to the older node. A limit leaves out unknown costs.
    """
    own = {"search": search_id, "epochs": epochs}
    within = {name: limit for name, limit in limits.items() if limit is not None}
    query = text(_MEMBERS % " ".join(map(_within, within)))
    members = query.columns(node_budgets.c.node_id, node_budgets.c.average_accuracy, node_budgets.c.params_rank)
    heads = connection.execute(_GROUPS, own | {"max_depth": _MAX_DEPTH if max_depth is None else max_depth}).all()
    best: list[_Place] = []
    groups = ((training_bound(row[2], row[1], noise=noise, metric=metric), *row[:2]) for row in heads)
    for bound, depth, count in sorted(groups, reverse=True):
        least = -1.0
        if len(best) == k:
            if bound < -best[-1].bound:
                break
            # Rounding must not break a tie.
            least = least_average(-best[-1].bound, count, noise=noise, metric=metric) - 1e-12
        group = own | within | {"depth": depth, "count": count, "least": least, "k": k}
        places = [
            _Place(-training_bound(average, count, noise=noise, metric=metric), -average, params, node_id)
            for node_id, average, params in connection.execute(members, group)
        ]
        best = sorted([*best, *places])[:k]
    return [place.node_id for place in best]


def _within(limit: str) -> str:
    """The condition of a limit, by its name; parameters stand in the index."""
    return _WITHIN_PARAMS if limit == "max_params" else _WITHIN.format(cost=LIMITS[limit].cost, limit=limit)
