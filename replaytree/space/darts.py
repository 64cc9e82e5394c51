"""The space of cells that DARTS (Liu et al., 2019) and its successors search.

The structure is that of the released program (github.com/quark0/darts, cnn/model_search.py and cnn/model.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Path, Shape
from replaytree.space.cells import CellNodes, CellPlan, Drawing, Node
from replaytree.space.coding import Values
from replaytree.space.genotypes import DARTS
from replaytree.space.graph import IMAGE, Auxiliary, Graph
from replaytree.space.layers import (
    AuxiliaryClassifier,
    Classifier,
    Concatenation,
    FactorizedReduction,
    Layer,
    NormedConvolution,
    NormedPooling,
    Pooling,
    PoolingKind,
    StackedSeparable,
    Sum,
    require_switch,
)
from replaytree.space.plan import Published
from replaytree.space.sketch import Sketch

# Short names, as labels have them, and those of the released program.
_LONG_NAMES = {
    "max3": "max_pool_3x3",
    "avg3": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}
_POOLS: dict[str, PoolingKind] = {"max3": "max", "avg3": "avg"}

NODES = CellNodes("darts", tuple(_LONG_NAMES), most=4, ordered=False)

# Of 10 classes, with 36 channels and 20 cells; the errors on CIFAR-10 are the authors'.
_KNOWN = {
    "DARTS_V1": (3_169_414, "3.00 % error, as published"),
    "DARTS_V2": (3_349_342, "2.76 % error, as published"),
    "PC_DARTS_cifar": (3_634_678, "2.57 % error, as published"),
    "PC_DARTS_image": (3_721_510, "found on ImageNet"),
    "GDAS_V1": (3_368_782, "2.93 % error, as published"),
    "DrNAS_cifar10": (4_099_294, "2.46 % error, as published"),
    "DrNAS_imagenet": (None, "found on ImageNet"),
}

Pairs = Sequence[tuple[str, int]]
"""A cell as the released program writes it: two (operation, input) a node."""


def path_of_genotype(normal: Pairs, reduce: Pairs) -> str:
    """The labels of a genotype's nodes: [('sep_conv_3x3', 0), ('skip_connect', 1), ...] -> 'sep3@0+skip@1 ...'."""
    short = {long: short for short, long in _LONG_NAMES.items()}
    cells = []
    for what, pairs in (("normal", normal), ("reduce", reduce)):
        if len(pairs) % 2:
            raise SpaceError(f"{what} of the genotype has {len(pairs)} pairs; there are two a node")
        words = [f"{short.get(operation, operation)}@{source}" for operation, source in pairs]
        cells.append(["+".join(words[place : place + 2]) for place in range(0, len(words), 2)])
    return NODES.written(*cells)


def genotype_of_path(path: str) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The inverse of path_of_genotype; of each node, the lower input stands first."""
    normal, reduce = (
        [(_LONG_NAMES[edge.operation], edge.source) for node in cell for edge in node.edges]
        for cell in NODES.read(path)
    )
    return normal, reduce


class Darts(CellPlan):
    """A Plan (plan.py). `cells` counts all cells; the one behind each third of them is a reduction cell.

    A 3x3 convolution to 3 x `channels` and batch norm are the stem. A cell fits its inputs with ReLU, a 1x1 convolution
    and batch norm; where the nearer one is smaller, the farther one by a factorised reduction. It gives its nodes,
    concatenated; without a node, its two inputs. The channels double at each reduction, where what reads an input of
    the cell has stride 2; 'skip' is a factorised reduction there. Separable convolutions are double, dilated ones
    single.

    Drop-path spares what passes its input on. An auxiliary classifier reads the second reduction cell.

    While searching, batch norms in cells have no numbers to train, and poolings have one behind them. In a `final`
    network they have such numbers, and poolings have none.
    """

    name = "darts"
    about = (
        "Cells of DARTS, PC-DARTS, GDAS, DrNAS: 4 nodes, 7 operations. Odd layers are nodes of the normal cell, even "
        "layers of the reduction cell; a node reads 0 (the cell before the last), 1 (the last cell) or earlier nodes, "
        "from 2."
    )
    nodes = NODES
    source = "Liu et al. (2019), arXiv 1806.09055"
    nested = False
    # As the released search has it.
    defaults: ClassVar[Mapping[str, Any]] = {"channels": 16, "cells": 8, "final": False}
    published: ClassVar[Mapping[str, Published]] = {
        name: Published(
            NODES.written(genotype.normal, genotype.reduction),
            input_shape=(3, 32, 32),
            options={"channels": 36, "cells": 20, "final": True},
            params=_KNOWN[name][0],
            note=_KNOWN[name][1],
        )
        for name, genotype in DARTS.items()
    }

    def __init__(
        self,
        *,
        input_shape: Shape,
        num_classes: int,
        max_layers: int = 8,
        channels: int = 16,
        cells: int = 8,
        final: bool = False,
    ) -> None:
        super().__init__(
            input_shape=input_shape, num_classes=num_classes, max_layers=max_layers, channels=channels, cells=cells,
            # With fewer there would be no normal cell.
            least_cells=3,
        )  # fmt: skip
        require_switch("final of darts", final)
        self.is_final = final
        self._reductions = (cells // 3 + 1, 2 * cells // 3 + 1)

    def options(self) -> dict[str, Any]:
        """The channels of the first cells, how many cells, and whether the networks are final ones."""
        return {"channels": self.channels, "cells": self.cells, "final": self.is_final}

    def final(self) -> Darts:
        """The plan whose networks are delivered: the same cells, with affine batch norms."""
        return Darts(
            input_shape=self.input_shape, num_classes=self.num_classes, max_layers=self.max_layers,
            channels=self.channels, cells=self.cells, final=True,
        )  # fmt: skip

    def why(self, prefix: Path, chosen: Values, option: int) -> str:
        """Why an input is illegal."""
        return NODES.why(chosen, option)

    def sketches(self, path: Path) -> tuple[Sketch, Sketch]:
        """The cells: what each gives are its nodes."""
        return NODES.sketches(path, lambda nodes, _: tuple(node.number for node in nodes) or (0, 1))

    def network(self, path: Path) -> Graph:
        """The network with its head."""
        nodes = NODES.cells(path)
        drawing = Drawing(self.input_shape)
        channels = self.channels
        before = last = second = drawing.add("stem", NormedConvolution(3 * channels, 3, relu="none"), IMAGE)
        for place in range(1, self.cells + 1):
            reduces = self.reduces(place)
            channels *= 2 if reduces else 1
            layers = self.fitting(drawing.shape(before), drawing.shape(last), channels)
            inputs = [
                drawing.add(f"cell{place}_fit{name}", layer, source)
                for name, source, layer in zip("01", (before, last), layers, strict=True)
            ]
            before, last = last, self._cell(drawing, f"cell{place}", nodes[reduces], inputs, channels, reduces=reduces)
            second = last if reduces else second
        return drawing.graph(
            last, Classifier(self.num_classes), Auxiliary(second, AuxiliaryClassifier(self.num_classes))
        )

    def reduces(self, place: int) -> bool:
        """Whether the cell at a place, from 1, is a reduction cell."""
        return place in self._reductions

    def fitting(self, before: Shape, last: Shape, channels: int) -> tuple[Layer, Layer]:
        """What gives the inputs of a cell its channels, and the sides of the last cell."""
        near = NormedConvolution(channels, 1, relu="before", affine=self.is_final)
        is_larger = before[1:] != last[1:]
        return FactorizedReduction(channels, relu=True, affine=self.is_final) if is_larger else near, near

    def _cell(
        self, drawing: Drawing, cell: str, nodes: Sequence[Node], inputs: list[int], channels: int, *, reduces: bool
    ) -> int:
        """What a cell gives."""
        maps = list(inputs)
        for node in nodes:
            name = f"{cell}_node{node.number}"
            ends = []
            for edge in node.edges:
                stride = 2 if reduces and edge.source < 2 else 1
                layer = self.operation(edge.operation, channels, stride)
                end = maps[edge.source]
                if layer is not None:
                    end = drawing.add(
                        f"{name}_in{edge.source}_{edge.operation}", layer, end, depth=node.depth, drop=1.0
                    )
                ends.append(end)
            maps.append(drawing.add(name, Sum(), *ends, depth=node.depth))
        given = maps[2:] or inputs
        if reduces and not nodes:
            halving = self.operation("skip", channels, 2)
            assert halving is not None
            given = [drawing.add(f"{cell}_halved{place}", halving, source) for place, source in enumerate(inputs)]
        return drawing.add(f"{cell}_concat", Concatenation(), *given)

    def operation(self, operation: str, channels: int, stride: int) -> Layer | None:
        """The layer of an operation; None where it passes its input on."""
        if operation in _POOLS:
            pooling = Pooling if self.is_final else NormedPooling
            return pooling(_POOLS[operation], 3, stride)
        if operation == "skip":
            return FactorizedReduction(channels, relu=True, affine=self.is_final) if stride > 1 else None
        kernel, dilated = int(operation[-1]), operation.startswith("dil")
        return StackedSeparable(
            channels, kernel, stride, dilation=1 + dilated, stacks=2 - dilated, affine=self.is_final
        )
