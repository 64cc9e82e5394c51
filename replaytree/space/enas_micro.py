"""The micro space of ENAS (Pham et al., 2018): cells of which each node reads any two maps before it.

The structure is that of the released program (github.com/melodyguan/enas, micro_child.py), because the paper tells of
less, but for one thing. Its search reads the output of the last cell for both inputs of a reduction cell, and its
halved form as the farther input of the next cell; here, as in its final network, inputs are the two cells before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Path, Shape
from replaytree.space.cells import CellNodes, CellPlan, Drawing, Node, loose_ends
from replaytree.space.graph import IMAGE, Auxiliary, Graph
from replaytree.space.layers import (
    AuxiliaryClassifier,
    Classifier,
    Concatenation,
    FactorizedReduction,
    Layer,
    NormedConvolution,
    NormedSum,
    Pointwise,
    Pooling,
    Rectifier,
    StackedSeparable,
    Sum,
    require_switch,
)
from replaytree.space.plan import Published
from replaytree.space.sketch import Sketch

# By their codes.
OPERATIONS = ("sep3", "sep5", "avg3", "max3", "identity")
NODES = CellNodes("enas-micro", OPERATIONS, most=5)
# The two edges of a node have weights of their own, even where they read one map.
_SIDES = ("x", "y")

# scripts/cifar10_micro_final.sh: index, operation, index, operation of each node.
_NORMAL = "0 2 0 0  0 4 0 1  0 4 1 1  1 0 0 1  0 2 1 1"
_REDUCTION = "1 0 1 0  0 3 0 2  1 1 3 1  1 0 0 4  0 3 1 1"
RELEASED_TOKENS = tuple(tuple(int(word) for word in cell.split()) for cell in (_NORMAL, _REDUCTION))


def path_of_tokens(normal: Sequence[int], reduction: Sequence[int]) -> str:
    """The labels of cells that ENAS writes as numbers: of each node, index, operation, index, operation.

    SpaceError for numbers that are no such lists.
    """
    cells = []
    for kind, tokens in (("normal", normal), ("reduction", reduction)):
        if len(tokens) % 4:
            raise SpaceError(f"the {kind} cell has {len(tokens)} numbers; there are four a node")
        if wrong := [code for code in tokens[1::2] if code not in range(len(OPERATIONS))]:
            raise SpaceError(f"the {kind} cell has operation {wrong[0]}; they are 0 to {len(OPERATIONS) - 1}")
        words = [f"{OPERATIONS[code]}@{index}" for index, code in zip(tokens[::2], tokens[1::2], strict=True)]
        cells.append(["+".join(words[place : place + 2]) for place in range(0, len(words), 2)])
    return NODES.written(*cells)


def tokens_of_path(path: str) -> tuple[tuple[int, ...], ...]:
    """The inverse of path_of_tokens."""
    return tuple(
        tuple(
            number for node in cell for edge in node.edges for number in (edge.source, OPERATIONS.index(edge.operation))
        )
        for cell in NODES.read(path)
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a network: its name, nodes, channels, whether it halves, and the factor on drop-path."""

    name: str
    nodes: Sequence[Node]
    channels: int
    reduces: bool
    drop: float


class EnasMicro(CellPlan):
    """A Plan (plan.py). `cells` counts all cells, two of which are reduction cells: layers + 2 of the released program.

    A 3x3 convolution to 3 x `channels` and batch norm are the stem. Channels double at each reduction. The ends of a
    cell are its nodes and inputs that no node reads. Separable convolutions are double. ReLU, average pooling and a
    linear layer without bias are the head.

    While searching, both inputs of a reduction cell are halved before its nodes, and ReLU, a 1x1 convolution and batch
    norm make one map of the ends. In a `final` network, what reads an input of a reduction cell has stride 2, where
    identity is a factorised reduction; the nearer input passes a second 1x1 convolution, and the ends are concatenated.
    """

    name = "enas-micro"
    about = (
        "Cells of ENAS: 5 nodes, 5 operations. Odd layers are nodes of the normal cell, even layers of the reduction "
        "cell; a node reads 0 (the cell before the last), 1 (the last cell) or earlier nodes, from 2."
    )
    nodes = NODES
    source = "Pham et al. (2018), arXiv 1802.03268"
    nested = False
    # As the released search has it: 6 layers, and 2 reductions.
    defaults: ClassVar[Mapping[str, Any]] = {"channels": 20, "cells": 8, "final": False}
    published: ClassVar[Mapping[str, Published]] = {
        name: Published(
            path_of_tokens(*RELEASED_TOKENS),
            input_shape=(3, 32, 32),
            options={"channels": 36, "cells": cells, "final": True},
            params=params,
            note=note,
        )
        for name, cells, params, note in (
            ("ENAS", 17, 3_894_372, "the released script, of 15 layers and 2 reductions"),
            ("ENAS-N6", 20, 4_587_372, "at the size of the paper's 4.6M, of 18 layers and 2 reductions"),
        )
    }

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 10,
        channels: int = 20,
        cells: int = 8,
        final: bool = False,
    ) -> None:
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, channels=channels, cells=cells,
            # One layer, and 2 reductions.
            least_cells=3,
        )  # fmt: skip
        require_switch("final of enas-micro", final)
        self.is_final = final
        third = (cells - 2) // 3
        self._reductions = (third + 1, 2 * third + 2)

    def options(self) -> dict[str, Any]:
        """The channels of the first cells, how many cells, and whether the networks are final ones."""
        return {"channels": self.channels, "cells": self.cells, "final": self.is_final}

    def final(self) -> EnasMicro:
        """The plan whose networks are delivered: the same cells, with their ends concatenated."""
        return EnasMicro(
            input_shape=self.input_shape, num_classes=self.num_classes, max_layers=self.max_layers,
            channels=self.channels, cells=self.cells, final=True,
        )  # fmt: skip

    def sketches(self, path: Path) -> tuple[Sketch, Sketch]:
        """The cells: what each gives are its loose ends."""
        return NODES.sketches(path, lambda nodes, _: loose_ends(nodes))

    def network(self, path: Path) -> Graph:
        """The network with its head."""
        nodes = NODES.cells(path)
        drawing = Drawing(self.input_shape)
        channels = self.channels
        before = last = drawing.add("stem", NormedConvolution(3 * channels, 3, relu="none"), IMAGE)
        given = []
        for place in range(1, self.cells + 1):
            reduces = place in self._reductions
            channels *= 2 if reduces else 1
            cell = _Cell(f"cell{place}", nodes[reduces], channels, reduces, place / self.cells)
            before, last = last, (self._final_cell if self.is_final else self._searched_cell)(
                drawing, cell, before, last
            )  # fmt: skip
            given.append(last)
        end = drawing.add("relu", Rectifier(), last)
        # Behind the cell that follows the second reduction cell.
        second = Auxiliary(given[self._reductions[1]], AuxiliaryClassifier(self.num_classes, bias=False))
        return drawing.graph(end, Classifier(self.num_classes, bias=False), second)

    def _searched_cell(self, drawing: Drawing, cell: _Cell, before: int, last: int) -> int:
        """A cell whose nodes all have stride 1."""
        if cell.reduces:
            far = before
            if drawing.shape(before)[1:] != drawing.shape(last)[1:]:
                far = drawing.add(f"{cell.name}_fit0", FactorizedReduction(cell.channels, relu=True), before)
            maps = [
                drawing.add(f"{cell.name}_halved0", FactorizedReduction(cell.channels, relu=True), far),
                drawing.add(f"{cell.name}_halved1", FactorizedReduction(cell.channels), last),
            ]
        else:
            maps = self._fitted(drawing, cell, before, last)
        self._add_nodes(drawing, cell, maps, stride=1)
        ends = [
            drawing.add(f"{cell.name}_out{end}", Pointwise(cell.channels), maps[end]) for end in loose_ends(cell.nodes)
        ]
        return drawing.add(f"{cell.name}_out", NormedSum(), *ends)

    def _final_cell(self, drawing: Drawing, cell: _Cell, before: int, last: int) -> int:
        """A cell of which the edges from its inputs have stride 2 where it reduces."""
        maps = self._fitted(drawing, cell, before, last)
        maps[1] = drawing.add(f"{cell.name}_base", NormedConvolution(cell.channels, 1, relu="before"), maps[1])
        self._add_nodes(drawing, cell, maps, stride=1 + cell.reduces)
        ends = [
            drawing.add(f"{cell.name}_halved{end}", FactorizedReduction(cell.channels), maps[end])
            if cell.reduces and end < 2
            else maps[end]
            for end in loose_ends(cell.nodes)
        ]
        return drawing.add(f"{cell.name}_concat", Concatenation(), *ends)

    def _fitted(self, drawing: Drawing, cell: _Cell, before: int, last: int) -> list[int]:
        """The inputs of a cell, with its channels and the sides of the last cell."""
        fitting = NormedConvolution(cell.channels, 1, relu="before")
        far: Layer | None = None
        if drawing.shape(before)[1:] != drawing.shape(last)[1:]:
            far = FactorizedReduction(cell.channels, relu=True)
        elif drawing.shape(before)[0] != cell.channels:
            far = fitting
        near = fitting if drawing.shape(last)[0] != cell.channels else None
        return [
            source if layer is None else drawing.add(f"{cell.name}_fit{place}", layer, source)
            for place, (layer, source) in enumerate(((far, before), (near, last)))
        ]

    def _add_nodes(self, drawing: Drawing, cell: _Cell, maps: list[int], *, stride: int) -> None:
        """The nodes of a cell, behind its inputs."""
        for node in cell.nodes:
            name = f"{cell.name}_node{node.number}"
            ends = []
            for side, edge in zip(_SIDES, node.edges, strict=True):
                layer = _operation(edge.operation, cell.channels, stride if edge.source < 2 else 1)
                end = maps[edge.source]
                if layer is not None:
                    end = drawing.add(
                        f"{name}_{side}_in{edge.source}_{edge.operation}",
                        layer,
                        end,
                        depth=node.depth,
                        drop=0.0 if edge.operation == "identity" else cell.drop,
                    )
                ends.append(end)
            maps.append(drawing.add(name, Sum(), *ends, depth=node.depth))


def _operation(operation: str, channels: int, stride: int) -> Layer | None:
    """The layer of an operation; None where it passes its input on."""
    if operation == "identity":
        return FactorizedReduction(channels) if stride > 1 else None
    if operation in ("avg3", "max3"):
        return Pooling("avg" if operation == "avg3" else "max", 3, stride)
    return StackedSeparable(channels, int(operation[-1]), stride)
