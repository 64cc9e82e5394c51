"""Choose what to deploy: the prefixes on the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import numpy as np

from replaytree.config.limits import CostLimits
from replaytree.config.option import LARGEST
from replaytree.deliver.subject import delivered_space
from replaytree.space.costs import COSTS
from replaytree.space.graph_space import require_graphs
from replaytree.space.latency_table import LatencyTable
from replaytree.tree import Node, ReplayTree


def pareto_front(values: Sequence[Sequence[float]]) -> list[int]:
    """The positions of the rows that no other dominates, in order; every column is minimised.

    One row dominates another if it is nowhere larger and somewhere smaller (Pareto, 1906), so equal rows all stay.
    """
    if not len(values):
        return []
    table = np.asarray(values, dtype=float)
    # In lexicographic order the first row that is left is dominated by none: whatever dominates it would come before.
    order = np.lexsort(table.T[::-1])
    found: list[int] = []
    while len(order):
        first, left = table[order[0]], table[order]
        equal = (left == first).all(axis=1)
        found += order[equal].tolist()
        order = order[~(left >= first).all(axis=1)]
    return sorted(found)


def pareto_nodes(
    tree: ReplayTree, *, max_depth: int | None = None, epochs: int | None = None, **limits: Unpack[CostLimits]
) -> list[Node]:
    """The nodes on the front of bound, parameters, FLOPs and RAM, of all that `best` ranks, best first."""
    every = tree.priced(max_depth=max_depth, epochs=epochs, **limits)
    front = pareto_front([_objectives(each.training_bound, each.costs) for each in every])
    return tree.ranked([every[position].node_id for position in front], epochs=epochs)


def within_latency(
    tree: ReplayTree,
    table: LatencyTable,
    *,
    k: int,
    most: float = math.inf,
    max_depth: int | None = None,
    epochs: int | None = None,
    **limits: Unpack[CostLimits],
) -> tuple[list[Node], list[float]]:
    """The k best nodes that take at most so many milliseconds by a table, and the milliseconds of each.

    SpaceError, naming the layer, where the table has not all that they are made of.
    """
    space = require_graphs(delivered_space(tree))
    asked, seen = 4 * k, 0
    nodes: list[Node] = []
    latencies: list[float] = []
    while True:
        ranked = tree.best(min(asked, LARGEST), max_depth=max_depth, epochs=epochs, **limits)
        for node in ranked[seen:]:
            spent = table.latency_ms(space.network(node.path))
            if spent <= most:
                nodes.append(node)
                latencies.append(spent)
        if len(nodes) >= k or len(ranked) < asked:
            return nodes[:k], latencies[:k]
        asked, seen = 4 * asked, len(ranked)


def fastest(nodes: Sequence[Node], latencies: Sequence[float]) -> list[int]:
    """The positions of the nodes on the front of bound, parameters, FLOPs, RAM and latency."""
    return pareto_front(
        [
            [*_objectives(node.training_bound, [getattr(node, name) for name in COSTS]), latency]
            for node, latency in zip(nodes, latencies, strict=True)
        ]
    )


def _objectives(bound: float | None, costs: Sequence[int | None]) -> list[float]:
    """What is minimised; the bytes of the weights follow from the parameters, and would only make the front longer."""
    known = dict(zip(COSTS, costs, strict=True))
    priced = [math.inf if (cost := known[name]) is None else float(cost) for name in ("params", "flops", "ram_bytes")]
    return [math.inf if bound is None else -bound, *priced]
