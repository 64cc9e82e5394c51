"""The space of cells of NASNet (Zoph et al., 2018) and of AmoebaNet (Real et al., 2019).

The structure is that of the released programs (nasnet_utils.py of tensorflow/models, network_utils.py of
tensorflow/tpu), laid out for CIFAR. The operations are the eight of AmoebaNet's paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Path, Shape
from replaytree.space.cells import CellNodes, CellPlan, Drawing, Node, loose_ends
from replaytree.space.genotypes import NASNET
from replaytree.space.graph import IMAGE, Auxiliary, Graph
from replaytree.space.layers import (
    AuxiliaryClassifier,
    Classifier,
    Concatenation,
    FactorizedReduction,
    Layer,
    NormedConvolution,
    Pooling,
    Rectifier,
    SplitConvolution,
    StackedSeparable,
    Sum,
)
from replaytree.space.plan import Published
from replaytree.space.sketch import Sketch

OPERATIONS = ("identity", "sep3", "sep5", "sep7", "avg3", "max3", "dil3", "conv1x7")
NODES = CellNodes("nasnet", OPERATIONS, most=5, far_first=False)
_SIDES = ("left", "right")

# The maps that no node reads.
LOOSE = "loose"
# Of AmoebaNet-A.
_EXAMPLE = "1+3+4+6/2+3+4+5+6"

# Name: channels, parameters of 10 classes and 18 normal cells, what its authors report.
_KNOWN = {
    "NASNet-A": (32, 3_346_538, "3.41 % error as retrained for the paper of AmoebaNet"),
    "AmoebaNet-A": (32, 2_567_754, "3.40 % error, as published"),
    "AmoebaNet-C": (32, 3_169_898, ""),
}


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a network: its name, nodes, channels, whether it halves, and the factor on drop-path."""

    name: str
    nodes: Sequence[Node]
    channels: int
    reduces: bool
    drop: float


class Nasnet(CellPlan):
    """A Plan (plan.py). `cells` counts the normal cells; two reduction cells stand before those behind each third.

    A 3x3 convolution to 3 x `channels` and batch norm are the stem, which the first cell reads as it is for input 1.
    Otherwise ReLU, a 1x1 convolution and batch norm fit input 0, and input 1 where its channels differ; where it is
    larger, a factorised reduction does. Channels double at each reduction, where what reads an input of the cell has
    stride 2. Separable convolutions are double. ReLU, average pooling and a linear layer are the head.

    A cell concatenates its nodes and inputs that no node reads, unless `concat` says which maps a cell of five nodes
    concatenates: their numbers in the normal cell and, behind '/', in the reduction cell. AmoebaNet follows such a
    table: it also concatenates maps that nodes read.
    """

    name = "nasnet"
    about = (
        "Cells of NASNet and AmoebaNet: 5 nodes, 8 operations. Odd layers are nodes of the normal cell, even layers of "
        "the reduction cell; a node reads 0 (the last cell), 1 (the cell before it) or earlier nodes, from 2."
    )
    nodes = NODES
    source = "Zoph et al. (2018), arXiv 1707.07012; Real et al. (2019), arXiv 1802.01548"
    nested = False
    # As AmoebaNet was searched: N = 3, F = 24.
    defaults: ClassVar[Mapping[str, Any]] = {"channels": 24, "cells": 9, "concat": LOOSE}
    published: ClassVar[Mapping[str, Published]] = {
        name: Published(
            NODES.written(genotype.normal, genotype.reduction),
            input_shape=(3, 32, 32),
            options={"channels": _KNOWN[name][0], "cells": 18, "concat": genotype.concat},
            params=_KNOWN[name][1],
            note=_KNOWN[name][2],
        )
        for name, genotype in NASNET.items()
    }

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 10,
        channels: int = 24,
        cells: int = 9,
        concat: str = LOOSE,
    ) -> None:
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, channels=channels, cells=cells,
            # With one, both reductions would stand before it.
            least_cells=2,
        )  # fmt: skip
        self.concat = concat
        self._concatenated = _maps_of(concat)

    def options(self) -> dict[str, Any]:
        """The channels of the first cells, how many normal cells, and what cells concatenate."""
        return {"channels": self.channels, "cells": self.cells, "concat": self.concat}

    def sketches(self, path: Path) -> tuple[Sketch, Sketch]:
        """The cells, and what each gives."""
        return NODES.sketches(path, self._given)

    def network(self, path: Path) -> Graph:
        """The network with its head."""
        nodes = NODES.cells(path)
        drawing = Drawing(self.input_shape)
        channels = self.channels
        before = last = second = drawing.add("stem", NormedConvolution(3 * channels, 3, relu="none"), IMAGE)
        kinds = self.kinds()
        for place, reduces in enumerate(kinds, start=1):
            if reduces:
                channels *= 2
                # At last, the cell before the second reduction.
                second = last
            cell = _Cell(f"cell{place}", nodes[reduces], channels, reduces, place / len(kinds))
            before, last = last, self._cell(drawing, cell, before, last)
        end = drawing.add("relu", Rectifier(), last)
        auxiliary = Auxiliary(second, AuxiliaryClassifier(self.num_classes))
        return drawing.graph(end, Classifier(self.num_classes), auxiliary)

    def kinds(self) -> list[bool]:
        """Of each cell, whether it reduces."""
        behind = (self.cells // 3, 2 * self.cells // 3)
        return [reduces for cell in range(self.cells) for reduces in ((True, False) if cell in behind else (False,))]

    def _cell(self, drawing: Drawing, cell: _Cell, before: int, last: int) -> int:
        """What a cell gives."""
        maps = [drawing.add(f"{cell.name}_fit0", NormedConvolution(cell.channels, 1, relu="before"), last)]
        far = farther(drawing.shape(before), drawing.shape(last), cell.channels, is_first=before == last)
        # The first cell has no other before it.
        maps.append(before if far is None else drawing.add(f"{cell.name}_fit1", far, before))
        _, height, width = drawing.shape(last)
        halves = 1 + cell.reduces
        shape = cell.channels, -(-height // halves), -(-width // halves)
        for node in cell.nodes:
            name = f"{cell.name}_node{node.number}"
            ends = []
            for side, edge in zip(_SIDES, node.edges, strict=True):
                stride = halves if edge.source < 2 else 1
                end = maps[edge.source]
                layers = operation(edge.operation, drawing.shape(end)[0], cell.channels, stride)
                for place, layer in enumerate(layers, start=1):
                    drop = cell.drop if edge.operation != "identity" and place == len(layers) else 0.0
                    word = f"{side}_in{edge.source}_{edge.operation}{'_fit' if place > 1 else ''}"
                    end = drawing.add(f"{name}_{word}", layer, end, depth=node.depth, drop=drop)
                ends.append(end)
            maps.append(drawing.add(name, Sum(), *ends, depth=node.depth))
        given = []
        for place in self._given(cell.nodes, cell.reduces):
            end = maps[place]
            if (fitting := fitted(drawing.shape(end), shape)) is not None:
                end = drawing.add(f"{cell.name}_out{place}", fitting, end)
            given.append(end)
        return drawing.add(f"{cell.name}_concat", Concatenation(), *given)

    def _given(self, nodes: Sequence[Node], reduces: bool) -> tuple[int, ...]:
        """The maps that a cell concatenates."""
        listed = self.listed(len(nodes), reduces)
        return loose_ends(nodes) if listed is None else listed

    def listed(self, number: int, reduces: bool) -> tuple[int, ...] | None:
        """The maps that `concat` lists for a cell of so many nodes; None where these are the loose ends."""
        return self._concatenated[reduces] if self._concatenated is not None and number == NODES.most else None


def farther(before: Shape, last: Shape, channels: int, *, is_first: bool) -> Layer | None:
    """What gives input 1 of a cell its channels, and the sides of the last cell; None where nothing is to do."""
    if before[1:] != last[1:]:
        return FactorizedReduction(channels, relu=True)
    if is_first or before[0] == channels:
        return None
    return NormedConvolution(channels, 1, relu="before")


def fitted(found: Shape, wanted: Shape) -> Layer | None:
    """What gives a map the shape of those that it is concatenated with; None where it has it."""
    if found == wanted:
        return None
    return FactorizedReduction(wanted[0]) if found[1:] != wanted[1:] else NormedConvolution(wanted[0], 1, relu="none")


def operation(name: str, inputs: int, channels: int, stride: int) -> tuple[Layer, ...]:
    """The layers of an operation in turn; none where it passes its input on."""
    if name == "identity":
        passes = stride == 1 and inputs == channels
        return () if passes else (NormedConvolution(channels, 1, relu="before", stride=stride),)
    if name in ("avg3", "max3"):
        pooling = Pooling("avg" if name == "avg3" else "max", 3, stride)
        return (pooling,) if inputs == channels else (pooling, NormedConvolution(channels, 1, relu="none"))
    if name == "conv1x7":
        return (SplitConvolution(channels, 7, stride),)
    return (StackedSeparable(channels, int(name[-1]), stride, dilation=2 if name == "dil3" else 1),)


def _maps_of(concat: object) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The maps that whole cells concatenate; None for the loose ends."""
    if concat == LOOSE:
        return None
    words = concat.split("/") if isinstance(concat, str) else []
    known = [str(number) for number in range(2 + NODES.most)]
    if len(words) != 2 or not all(
        numbers and [number for number in known if number in numbers] == numbers
        for numbers in (word.split("+") for word in words)
    ):
        raise SpaceError(
            f"concat of nasnet (--concat) is {concat!r:.80}; write {LOOSE}, or the maps of the normal and of the "
            f"reduction cell, 0 to {known[-1]}, rising, as in {_EXAMPLE}"
        )
    normal, reduction = (tuple(map(int, word.split("+"))) for word in words)
    return normal, reduction
