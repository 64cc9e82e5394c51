"""The mixed supernet of the cells of NASNet and AmoebaNet."""

from __future__ import annotations

from collections.abc import Sequence

from replaytree.records import Path, Shape
from replaytree.space.cells import KINDS
from replaytree.space.coding import decode, encode
from replaytree.space.layers import Classifier, Concatenation, NormedConvolution, Rectifier
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
    normed,
    one_hot,
    require_cells,
)
from replaytree.space.nasnet import NODES, OPERATIONS, Nasnet, farther, fitted, operation

_IDENTITY = OPERATIONS.index("identity")


class NasnetMixture:
    """A Mixture (mixed.py) whose decisions are those of the space: two inputs and two operations a node.

    A node is the sum, over its inputs and the operations, of what each operation makes of each input, weighed by the
    input's weight times the operation's, of either side; the sides share an operation's weights on an input. With
    `share` 4, as in PC-DARTS, what passes by is weighed like its input.

    A cell concatenates what `concat` says, or all of its nodes: which ends are loose differs from path to path. So a
    path is scored with all its nodes concatenated, and its own network has the loose ones alone.
    """

    def __init__(self, plan: Nasnet, *, share: int = 1) -> None:
        require_cells(plan, share=share)
        self._plan = plan
        self._share = share
        drawing = MixedDrawing(plan.input_shape)
        # By depth: the numbers of its four decisions.
        self._decisions = [self._decide(drawing, depth) for depth in range(1, plan.max_layers + 1)]
        self.graph = self._drawn(drawing)

    def _decide(self, drawing: MixedDrawing, depth: int) -> list[int]:
        kind, number = KINDS[1 - depth % 2], (depth - 1) // 2 + 2
        return [
            drawing.decide(
                Mixing(
                    f"{kind} {number} {decision.name}",
                    decision.options,
                    skips=() if decision.kind == "input" else (_IDENTITY,),
                )
            )
            for decision in NODES.decisions(depth)
        ]

    def _drawn(self, drawing: MixedDrawing) -> MixedGraph:
        plan = self._plan
        before = last = drawing.add("stem", NormedConvolution(3 * plan.channels, 3, relu="none"), 0)
        for place, reduces in enumerate(plan.kinds(), start=1):
            before, last = last, self._cell(drawing, place, before, last, reduces=reduces)
        drawing.add("relu", Rectifier(), last)
        return drawing.graph(Classifier(plan.num_classes))

    def _cell(self, drawing: MixedDrawing, place: int, before: int, last: int, *, reduces: bool) -> int:
        """What a cell gives."""
        channels = self._plan.channels * 2 ** sum(self._plan.kinds()[:place])
        name = f"cell{place}"
        maps = [drawing.add(f"{name}_fit0", NormedConvolution(channels, 1, relu="before"), last)]
        # What passes by must have the channels of the cell.
        is_first = before == last and self._share == 1
        far = farther(drawing.shape(before), drawing.shape(last), channels, is_first=is_first)
        maps.append(before if far is None else drawing.add(f"{name}_fit1", far, before))
        halves = 1 + reduces
        _, height, width = drawing.shape(last)
        shape = channels, -(-height // halves), -(-width // halves)
        depths = self._decisions[int(reduces) :: 2]
        for number, decisions in enumerate(depths, start=2):
            edges = [self._edge(drawing, decisions, source, maps[source], shape) for source in range(number)]
            maps.append(drawing.mix(f"{name}_node{number}", shape, edges))
        listed = self._plan.listed(len(depths), reduces)
        given = []
        for source in range(2, len(maps)) if listed is None else listed:
            layer = fitted(drawing.shape(maps[source]), shape)
            given.append(maps[source] if layer is None else drawing.add(f"{name}_out{source}", layer, maps[source]))
        return drawing.add(f"{name}_concat", Concatenation(), *given)

    def _edge(self, drawing: MixedDrawing, decisions: Sequence[int], source: int, read: int, shape: Shape) -> MixedEdge:
        """What all operations make of one input, for both sides."""
        inputs, operations = decisions[::2], decisions[1::2]
        channels, height, _ = drawing.shape(read)
        stride = 1 if height == shape[1] else 2
        options = []
        for place, word in enumerate(OPERATIONS):
            layers = operation(word, channels // self._share, shape[0] // self._share, stride)
            weight = tuple(
                ((of_input, source), (of_operation, place))
                for of_input, of_operation in zip(inputs, operations, strict=True)
            )
            options.append(MixedOption(normed(layers), weight))
        passing = tuple(((of_input, source),) for of_input in inputs)
        return MixedEdge(read, tuple(options), share=self._share, stride=stride, passing=passing)

    def derive(self, weights: Sequence[Row]) -> Path:
        """The path of some weights, one row a decision: of each the largest."""
        return tuple(
            encode(
                NODES.decisions(depth),
                [best_option(self.graph.decisions[of], weights[of]) for of in self._decisions[depth - 1]],
            )
            for depth in range(1, self._plan.max_layers + 1)
        )

    def rows(self, path: Path) -> list[Row]:
        """The weights with which the supernet is the network of a path: ones and zeros."""
        chosen = {
            of: value
            for depth, action in enumerate(path, start=1)
            for of, value in zip(self._decisions[depth - 1], decode(NODES.decisions(depth), action), strict=True)
        }
        return [one_hot(len(mixing.options), chosen[of]) for of, mixing in enumerate(self.graph.decisions)]

    def projections(self) -> list[Projection]:
        """Every decision by itself."""
        return [Projection(mixing.name, (of,)) for of, mixing in enumerate(self.graph.decisions)]

    def skips(self, path: Path) -> Skips:
        """How many operations pass their input on."""
        return cell_skips(NODES.cells(path), "identity")
