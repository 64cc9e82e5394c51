"""The cost of a trie of paths, and which paths to train together: plain integers, no torch.

A trie has one node for every distinct prefix of its paths, so layers that paths share are computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from replaytree.records import Path, Shape
from replaytree.space.graph import Graph
from replaytree.space.graph_space import GraphSpace
from replaytree.space.layers import Classifier, Ending

# Weights, gradients and momentum, and the gradients once more while the optimiser adds weight decay to them.
COPIES_OF_WEIGHTS = 4
BYTES = 4
# A head of a trie has HEAD_HIDDEN hidden units a channel, at most HEAD_UNITS. It reads averages of HEAD_CELLS cells to
# a side, and of SHALLOW_CELLS behind the first SHALLOW layers (reports/benchmarks/heads.md).
HEAD_HIDDEN = 4
HEAD_UNITS = 512
HEAD_CELLS = 2
SHALLOW = 2
SHALLOW_CELLS = 4


def prefixes(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The distinct prefixes of some paths, depth first: a prefix stands before its extensions."""
    return tuple(sorted({path[:depth] for path in paths for depth in range(1, len(path) + 1)}))


def reads_all(graph: Graph) -> bool:
    """Whether the head of a network reads every value of its feature map, and not the average of each channel."""
    return isinstance(graph.head, Classifier) and graph.head.pool == "flatten"


def head_shape(space: GraphSpace, node: Path) -> Shape:
    """What a node's head reads: its feature map, or a column of all values where the head of its network reads all."""
    graph = space.network(node)
    return (math.prod(graph.end_shape), 1, 1) if reads_all(graph) else graph.end_shape


def head_grid(space: GraphSpace, node: Path) -> tuple[int, int]:
    """The grid of averages of its feature map that a node's head reads: (rows, columns)."""
    _, rows, columns = head_shape(space, node)
    side = SHALLOW_CELLS if len(node) <= SHALLOW else HEAD_CELLS
    return min(rows, side), min(columns, side)


def head_units(space: GraphSpace, node: Path, hidden: int = HEAD_HIDDEN) -> int:
    """The number of hidden units of a node's head; 0 where no layer up to the node has weights, as behind pooling.

    A hidden layer would there be the only one that learns, and would overrate the prefix. It is also 0 behind an
    ending: a path that chose its head is scored with that head. A hidden layer rates every ending alike. And it is 0
    where the network's head reads every value: averages of cells leave out where in the image things are, which such
    a network tells apart (reports/benchmarks/heads.md).
    """
    graph = space.network(node)
    if reads_all(graph):
        return 0
    if graph.nodes and isinstance(graph.nodes[-1].layer, Ending):
        return 0
    if graph.params == graph.head.params(graph.end_shape):
        return 0
    return min(hidden * graph.end_shape[0], HEAD_UNITS)


@dataclass(frozen=True, slots=True)
class TrieCost:
    """Parameters, FLOPs (multiply-adds for one image, forward) and activations (32 bits each, one image) of a trie."""

    params: int
    flops: int
    activations: int

    def train_bytes(self, batch_size: int) -> int:
        """Peak memory of a training step, without the images and the libraries' workspace."""
        return BYTES * (COPIES_OF_WEIGHTS * self.params + batch_size * self.activations)


def trie_cost(space: GraphSpace, paths: Iterable[Path], *, hidden: int = HEAD_HIDDEN) -> TrieCost:
    """The cost of the trie of some paths, with a head after every node, with `hidden` units a channel.

    A head is counted behind what merges the loose ends of its prefix. SpaceError where a path is illegal.
    """
    params = flops = activations = 0
    for node in prefixes(paths):
        graph = space.network(node)
        own = _own_cost(graph, len(node))
        channels, units = head_shape(space, node)[0], head_units(space, node, hidden)
        width = units or channels
        params += own.params + (width + 1) * space.num_classes
        flops += own.flops + width * space.num_classes
        activations += own.activations + width
        if units:
            cells = math.prod(head_grid(space, node))
            params += (channels + 2) * units
            flops += cells * channels * units
            # The cells; the hidden layer before and after batch norm.
            activations += cells * (channels + 2 * units)
    return TrieCost(params, flops, activations)


def _own_cost(graph: Graph, depth: int) -> TrieCost:
    """What the last layer of a prefix adds, with the merge of the loose ends, without the head."""
    parts = list(graph.parts(own=depth, head=False))
    return TrieCost(
        sum(layer.params(*shapes) for layer, shapes in parts),
        sum(layer.flops(*shapes) for layer, shapes in parts),
        sum(layer.activations(*shapes) for layer, shapes in parts),
    )


def batches_of_paths(
    space: GraphSpace,
    paths: Sequence[Path],
    *,
    batch_size: int,
    memory_bytes: float = math.inf,
    hidden: int = HEAD_HIDDEN,
) -> list[tuple[int, ...]]:
    """Which paths to train together, as indices into `paths`; every index once, each batch ascending.

    Paths are taken in the order of a walk through their trie, so neighbours share most. A batch is filled until the
    next path would not fit into `memory_bytes`. Equal paths go into different batches, so that they give independent
    accuracies. A path that does not fit alone is a batch of its own.
    """
    batches: list[tuple[int, ...]] = []
    left = sorted(range(len(paths)), key=lambda index: paths[index])
    while left:
        taken: list[int] = []
        for index in left:
            together = [paths[other] for other in (*taken, index)]
            fits = not taken or trie_cost(space, together, hidden=hidden).train_bytes(batch_size) <= memory_bytes
            if not fits:
                break
            if paths[index] not in together[:-1]:
                taken.append(index)
        batches.append(tuple(sorted(taken)))
        left = [index for index in left if index not in taken]
    return sorted(batches)
