"""What the spaces of cells share: how nodes are decisions and words, and how a network is drawn cell by cell.

A network is a row of cells. Each reads the outputs of the two cells before it; normal cells are all alike, and so are
reduction cells, which halve the sides. A path takes a node of the normal cell and one of the reduction cell in turn:
the layer at depth 2k - 1 is node k of the normal cell, that at depth 2k node k of the reduction cell. A node applies an
operation to each of two maps, which are inputs of the cell or earlier nodes of it, and adds the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values, decode
from replaytree.space.graph import Auxiliary, Graph, GraphNode
from replaytree.space.layers import Layer, legal_output, require_whole
from replaytree.space.returned import require_shape
from replaytree.space.sketch import Box, Sketch

KINDS = ("normal", "reduction")


@dataclass(frozen=True, slots=True)
class Edge:
    """An operation on a map: 0 and 1 are the inputs of the cell, 2 and more its nodes."""

    operation: str
    source: int

    def __str__(self) -> str:
        """As in 'sep3@0'."""
        return f"{self.operation}@{self.source}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a cell: its number, as edges write it, from 2; the depth of its layer; what is added."""

    number: int
    depth: int
    edges: tuple[Edge, Edge]


@dataclass(frozen=True)
class CellNodes:
    """How nodes are decisions: input1, operation1, input2, operation2, alike in both kinds of cell.

    A cell has at most `most` nodes. Input 0 is the output of the cell before the last if `far_first`, as DARTS and ENAS
    count, and that of the last cell if not, as NASNet does; input 1 is the other. If `ordered`, the two edges of a node
    are told apart, and may read the same map; else a node is a pair of different inputs, the lower one first.
    """

    space: str
    operations: tuple[str, ...]
    most: int
    far_first: bool = True
    ordered: bool = True

    def require_depth(self, max_layers: int) -> None:
        """SpaceError where there are no cells of so many layers."""
        require_whole("max_layers", max_layers, least=1)
        if max_layers > 2 * self.most:
            raise SpaceError(
                f"max_layers is {max_layers}; {self.space} has two cells of at most {self.most} nodes, so at most "
                f"{2 * self.most} layers (--max-layers)"
            )

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """Two inputs and two operations."""
        return _decisions(self, depth)

    def fixed(self, depth: int) -> tuple[tuple[bool, ...] | None, ...]:
        """All inputs and operations; in a pair the first input is not the last one there is, the second is above it."""
        inputs, operations = ((True,) * decision.size for decision in self.decisions(depth)[:2])
        if self.ordered:
            return inputs, operations, inputs, operations
        return (*inputs[:-1], False), operations, None, operations

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """The mask over the options of the next decision."""
        mask = self.fixed(len(prefix) + 1)[len(chosen)]
        if mask is not None:
            return mask
        return tuple(source > chosen[0] for source in range(self.decisions(len(prefix) + 1)[2].size))

    def state(self, prefix: Path) -> int | None:
        """What legality depends on: the depth, and in a pair the first input."""
        return None if self.ordered else len(prefix)

    def why(self, chosen: Values, option: int) -> str:
        """Why an input is illegal."""
        if not chosen:
            return "a node reads two different inputs, the lower one first"
        return f"a node reads two different inputs, the lower one first, and its first is {chosen[0]}"

    def cheapest(self, prefix: Path, chosen: Values) -> int:
        """Pooling of a map that no node has read yet: it has no weights, and leaves fewer loose ends."""
        if len(chosen) % 2:
            return self.operations.index("max3")
        read = {edge.source for node in self.cells(prefix)[len(prefix) % 2] for edge in node.edges} | set(chosen[:1])
        mask = self.legal(prefix, chosen)
        legal = [source for source, may in enumerate(mask) if may]
        return next((source for source in legal if source not in read), legal[0])

    def label(self, values: Values) -> str:
        """As in 'sep3@0+skip@1'."""
        return "+".join(map(str, self._edges(values)))

    def values(self, depth: int, label: str) -> Values:
        """The inverse of `label`; in a pair, the edges may stand in either order. SpaceError for another word."""
        number = number_of(depth)
        who = f"layer {depth}, node {number} of the {KINDS[1 - depth % 2]} cell, is {label!r}"
        found: list[tuple[int, int]] = []
        for word in label.split("+"):
            operation, at, source = word.partition("@")
            if not at:
                raise SpaceError(f"{who}; a node is two operations and what each reads, as in {self.example!r}")
            if operation not in self.operations:
                known = ", ".join(self.operations)
                raise SpaceError(f"{who}; {operation!r} is no operation of {self.space}, which are {known}")
            if source not in self.decisions(depth)[0].options:
                raise SpaceError(f"{who}; it may read 0 to {number - 1}, and {source!r} is none of them")
            found.append((int(source), self.operations.index(operation)))
        if len(found) != 2:
            raise SpaceError(f"{who}; a node has two operations, and this has {len(found)}: {self.example!r}")
        if not self.ordered:
            found.sort()
            if found[0][0] == found[1][0]:
                raise SpaceError(f"{who}; it reads {found[0][0]} twice, and a node reads two different inputs")
        return (*found[0], *found[1])

    @property
    def example(self) -> str:
        """A node as it is written."""
        return f"{self.operations[0]}@0+{self.operations[-1]}@1"

    def cells(self, path: Path) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """The nodes of the normal cell and of the reduction cell."""
        return self._cells([decode(self.decisions(depth), action) for depth, action in enumerate(path, start=1)])

    def sketches(self, path: Path, ends: Callable[[tuple[Node, ...], bool], tuple[int, ...]]) -> tuple[Sketch, Sketch]:
        """Both cells of a path; `ends` says what nodes give, of a reduction cell if it is True."""
        words = ("the cell before the last", "the last cell")[:: 1 if self.far_first else -1]
        inputs = tuple(Box(f"input {number}", (what,)) for number, what in enumerate(words))
        normal, reduction = (
            _sketch(kind, inputs, nodes, ends(nodes, kind == "reduction"))
            for kind, nodes in zip(KINDS, self.cells(path), strict=True)
        )
        return normal, reduction

    def written(self, normal: Sequence[str], reduction: Sequence[str]) -> str:
        """A path from the nodes of two cells, as in 'sep3@0+skip@1': normal and reduction in turn."""
        if not len(reduction) <= len(normal) <= len(reduction) + 1:
            raise SpaceError(
                f"the normal cell has {len(normal)} nodes and the reduction cell {len(reduction)}; they have as many"
            )
        words = [
            word for place, normal_word in enumerate(normal) for word in (normal_word, *reduction[place : place + 1])
        ]
        return " ".join(self.label(self.values(depth, word)) for depth, word in enumerate(words, start=1))

    def read(self, path: str) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """The cells of a path as `written`."""
        return self._cells([self.values(depth, word) for depth, word in enumerate(path.split(), start=1)])

    def _cells(self, layers: Sequence[Values]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        nodes = tuple(
            Node(number_of(depth), depth, self._edges(values)) for depth, values in enumerate(layers, start=1)
        )
        return nodes[::2], nodes[1::2]

    def _edges(self, values: Values) -> tuple[Edge, Edge]:
        return Edge(self.operations[values[1]], values[0]), Edge(self.operations[values[3]], values[2])


class CellPlan:
    """The part of a Plan (plan.py) that all spaces of cells share: layers are nodes, as `nodes` says."""

    name: str
    drawn = (
        "The network is a row of such cells, each of which reads the outputs of the two before it. A node applies an "
        "operation to each of two maps, the inputs or nodes whose numbers stand behind “@”, and adds the results. Each "
        "layer of the path is a node: of the normal cell, then of the reduction cell, and so on. So every prefix is a "
        "pair of smaller cells, a network of its own"
    )
    nodes: ClassVar[CellNodes]

    def __init__(
        self, *, input_shape: Shape, num_classes: int, max_layers: int, channels: int, cells: int, least_cells: int
    ) -> None:
        require_whole(f"channels of {self.name} (--channels)", channels, least=1)
        require_whole(f"cells of {self.name} (--cells)", cells, least=least_cells)
        self.nodes.require_depth(max_layers)
        self.input_shape = require_shape("input_shape", input_shape)
        require_halves(self.name, self.input_shape)
        self.num_classes = num_classes
        self.max_layers = max_layers
        self.channels = channels
        self.cells = cells

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """Two inputs and two operations."""
        return self.nodes.decisions(depth)

    def fixed(self, depth: int) -> tuple[tuple[bool, ...] | None, ...]:
        """The masks that are the same everywhere: all but that of the second input of a pair."""
        return self.nodes.fixed(depth)

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """Everything; in a pair two different inputs, the lower one first."""
        return self.nodes.legal(prefix, chosen)

    def state(self, prefix: Path) -> int | None:
        """What legality depends on."""
        return self.nodes.state(prefix)

    def cheapest(self, prefix: Path, chosen: Values) -> int:
        """Pooling of a map that is not read yet."""
        return self.nodes.cheapest(prefix, chosen)

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'sep3@0+skip@1'."""
        return self.nodes.label(values)

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`; the edges of a pair may stand in either order."""
        return self.nodes.values(len(prefix) + 1, label)


def _sketch(kind: str, inputs: tuple[Box, ...], nodes: tuple[Node, ...], ends: tuple[int, ...]) -> Sketch:
    boxes = tuple(
        Box(f"node {node.number}", tuple(map(str, node.edges)), tuple(edge.source for edge in node.edges), node.depth)
        for node in nodes
    )
    title = f"The {kind} cell{', which halves the maps' if kind == 'reduction' else ''}"
    return Sketch(title, inputs, boxes, (Box("output", ("+".join(map(str, ends)),), ends),))


def number_of(depth: int) -> int:
    """The number of the node that the layer at `depth` is: 2 is the first of its cell."""
    return (depth + 1) // 2 + 1


@lru_cache(maxsize=256)
def _decisions(nodes: CellNodes, depth: int) -> tuple[Decision, ...]:
    cell_inputs = (-1, 0) if nodes.far_first else (0, -1)
    sources = (*cell_inputs, *range(2 - depth % 2, depth, 2))
    numbers = tuple(map(str, range(len(sources))))
    return tuple(
        decision
        for which in "12"
        for decision in (
            Decision(f"input{which}", numbers, "input", sources),
            Decision(f"operation{which}", nodes.operations),
        )
    )


def loose_ends(nodes: Sequence[Node]) -> tuple[int, ...]:
    """The inputs and nodes of a cell that no node of it reads."""
    read = {edge.source for node in nodes for edge in node.edges}
    return tuple(number for number in range(2 + len(nodes)) if number not in read)


class Drawing:
    """A graph under construction, which knows the shape of every map."""

    def __init__(self, input_shape: Shape) -> None:
        self._input_shape = input_shape
        self._nodes: list[GraphNode] = []
        self._shapes: list[Shape] = []

    def add(self, name: str, layer: Layer, *inputs: int, depth: int = 1, drop: float = 0.0) -> int:
        """A node that reads earlier ones, or IMAGE; its index. `depth` and `drop` as in GraphNode."""
        self._nodes.append(GraphNode(name, layer, inputs, depth, drop))
        self._shapes.append(legal_output(layer, *(self.shape(source) for source in inputs)))
        return len(self._nodes) - 1

    def shape(self, node: int) -> Shape:
        """What a node gives; IMAGE gives the image."""
        return self._input_shape if node < 0 else self._shapes[node]

    def graph(self, end: int, head: Layer, auxiliary: Auxiliary) -> Graph:
        """The whole, with a head that reads one node."""
        return Graph(self._input_shape, tuple(self._nodes), (end,), head, auxiliary=auxiliary)


def require_halves(space: str, input_shape: Shape) -> None:
    """SpaceError unless images can be halved twice."""
    if min(input_shape[1:]) < 3:
        raise SpaceError(
            f"images of {'x'.join(map(str, input_shape[1:]))} pixels cannot be halved twice, as {space} does; "
            f"give images of at least 3x3"
        )
