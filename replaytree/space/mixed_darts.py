"""The mixed supernet of DARTS' cells (Liu et al., 2019), and of PC-DARTS (Xu et al., 2020).

The structure is that of the released programs: quark0/darts, cnn/model_search.py, and yuhuixu1993/PC-DARTS.
"""

from __future__ import annotations

from collections.abc import Sequence

from replaytree.errors import SpaceError
from replaytree.records import Path
from replaytree.space.cells import KINDS
from replaytree.space.coding import encode
from replaytree.space.darts import NODES, Darts
from replaytree.space.layers import Classifier, Concatenation, Layer, NormedConvolution
from replaytree.space.mixed import (
    MixedDrawing,
    MixedEdge,
    MixedGraph,
    MixedOption,
    Mixing,
    Projection,
    Row,
    Skips,
    best_option,
    cell_skips,
    one_hot,
    require_cells,
)

# Every edge mixes these; 'none' gives zeros, takes part in the softmax, and is never derived.
OPERATIONS = ("none", *NODES.operations)
_NONE, _SKIP = OPERATIONS.index("none"), OPERATIONS.index("skip")
KEPT = 2


class DartsMixture:
    """A Mixture (mixed.py) with one decision an edge: 14 edges x 8 operations in each of two whole cells.

    All cells of a kind share their decisions. With `share` 4, as PC-DARTS has it, operations see a quarter of the
    channels, and a node's edges are weighed by one more decision each node.

    Derived are, for each node, the two edges whose best operation weighs most, times the edge's own weight where there
    is one, and on each its best operation; 'none' never.
    """

    def __init__(self, plan: Darts, *, share: int = 1) -> None:
        if plan.is_final:
            raise SpaceError("a supernet of final networks would have batch norms to train; leave out --final")
        require_cells(plan, share=share)
        self._plan = plan
        self._share = share
        drawing = MixedDrawing(plan.input_shape)
        self._numbers = [-(-plan.max_layers // 2), plan.max_layers // 2]
        self._edges = [self._decide_edges(drawing, kind) for kind in (0, 1)]
        self._nodes = [self._decide_nodes(drawing, kind) if share > 1 else [] for kind in (0, 1)]
        self.graph = self._drawn(drawing)

    def _decide_edges(self, drawing: MixedDrawing, kind: int) -> list[list[int]]:
        """The decisions of a kind of cell: of each node, those of its edges, from input 0."""
        return [
            [
                drawing.decide(
                    Mixing(f"{KINDS[kind]} {2 + place}<-{source}", OPERATIONS, never=(_NONE,), skips=(_SKIP,))
                )
                for source in range(2 + place)
            ]
            for place in range(self._numbers[kind])
        ]

    def _decide_nodes(self, drawing: MixedDrawing, kind: int) -> list[int]:
        """The decisions that weigh the edges of each node."""
        return [
            drawing.decide(Mixing(f"{KINDS[kind]} {2 + place}", tuple(map(str, range(2 + place)))))
            for place in range(self._numbers[kind])
        ]

    def _drawn(self, drawing: MixedDrawing) -> MixedGraph:
        plan, channels = self._plan, self._plan.channels
        before = last = drawing.add("stem", NormedConvolution(3 * channels, 3, relu="none"), 0)
        for place in range(1, plan.cells + 1):
            kind = int(plan.reduces(place))
            channels *= 1 + kind
            layers = plan.fitting(drawing.shape(before), drawing.shape(last), channels)
            maps = [
                drawing.add(f"cell{place}_fit{name}", layer, source)
                for name, source, layer in zip("01", (before, last), layers, strict=True)
            ]
            _, height, width = drawing.shape(maps[0])
            shape = channels, -(-height // (1 + kind)), -(-width // (1 + kind))
            for node, decisions in enumerate(self._edges[kind]):
                edges = [
                    MixedEdge(
                        maps[source],
                        self._options(decision, channels // self._share, stride=1 + (kind and source < 2)),
                        (self._nodes[kind][node], source) if self._nodes[kind] else None,
                        self._share,
                        1 + (kind and source < 2),
                    )
                    for source, decision in enumerate(decisions)
                ]
                maps.append(drawing.mix(f"cell{place}_node{2 + node}", shape, edges))
            before, last = last, drawing.add(f"cell{place}_concat", Concatenation(), *maps[2:])
        return drawing.graph(Classifier(plan.num_classes))

    def _options(self, decision: int, channels: int, *, stride: int) -> tuple[MixedOption, ...]:
        """What an edge may do."""
        options = []
        for place, operation in enumerate(OPERATIONS):
            layers: tuple[Layer, ...] | None = None
            if place != _NONE:
                layer = self._plan.operation(operation, channels, stride)
                layers = () if layer is None else (layer,)
            options.append(MixedOption(layers, (((decision, place),),)))
        return tuple(options)

    def derive(self, weights: Sequence[Row]) -> Path:
        """The path of some weights, one row a decision."""
        mixing, path = self.graph.decisions, []
        for depth in range(1, self._plan.max_layers + 1):
            kind, node = 1 - depth % 2, (depth - 1) // 2
            found = []
            for source, decision in enumerate(self._edges[kind][node]):
                option = best_option(mixing[decision], weights[decision])
                own = weights[self._nodes[kind][node]][source] if self._nodes[kind] else 1.0
                found.append((weights[decision][option] * own, source, option))
            # Of equal ones the first.
            kept = sorted(sorted(found, key=lambda edge: -edge[0])[:KEPT], key=lambda edge: edge[1])
            values = tuple(value for _, source, option in kept for value in (source, option - 1))
            path.append(encode(NODES.decisions(depth), values))
        return tuple(path)

    def rows(self, path: Path) -> list[Row]:
        """The weights with which the supernet is the network of a path: ones and zeros."""
        rows = [one_hot(len(mixing.options), _NONE) for mixing in self.graph.decisions]
        for kind, nodes in enumerate(NODES.cells(path)):
            for node in nodes:
                for edge in node.edges:
                    decision = self._edges[kind][node.number - 2][edge.source]
                    rows[decision] = one_hot(len(OPERATIONS), OPERATIONS.index(edge.operation))
                if self._nodes[kind]:
                    sources = [edge.source for edge in node.edges]
                    rows[self._nodes[kind][node.number - 2]] = one_hot(node.number, *sources)
        return rows

    def projections(self) -> list[Projection]:
        """The operation of every edge, then the two edges of every node that has more.

        Where edges have weights of their own, one without operations would still pass channels by: it goes by its
        weight.
        """
        mixing = self.graph.decisions
        nodes = [edges for cell in self._edges for edges in cell]
        own = [decision for cell in self._nodes for decision in cell]
        operations = [Projection(mixing[decision].name, (decision,)) for edges in nodes for decision in edges]
        inputs = [
            Projection(mixing[edges[0]].name.partition("<")[0], (own[place],) if own else tuple(edges), KEPT)
            for place, edges in enumerate(nodes)
            if len(edges) > KEPT
        ]
        return operations + inputs

    def skips(self, path: Path) -> Skips:
        """How many operations pass their input on."""
        return cell_skips(NODES.cells(path), "skip")
