"""The second classifier of a network, which is trained with it and then thrown away."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import only, require_whole
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn

# As in the released code of ENAS and DARTS, for maps of 8x8.
POOL, STRIDE = 5, 3
NARROW, WIDE = 128, 768


@dataclass(frozen=True, slots=True)
class AuxiliaryClassifier:
    """ReLU, average pooling, a 1x1 convolution to 128 channels, one of the whole map to 768, and a linear layer.

    Batch norm and ReLU follow each convolution. The pooling has kernel 5 and stride 3, without padding; a side below 5
    is pooled whole. DARTS has a bias in the linear layer, ENAS none.
    """

    num_classes: int
    bias: bool = True

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_whole("num_classes of an AuxiliaryClassifier", self.num_classes, least=1)
        if not isinstance(self.bias, bool):
            raise SpaceError(f"bias of an AuxiliaryClassifier is {self.bias!r}; it must be True or False")

    @property
    def label(self) -> str:
        """'auxiliary'."""
        return "auxiliary"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The logits, as (num_classes, 1, 1)."""
        only(self, shapes)
        return self.num_classes, 1, 1

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "an auxiliary classifier is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """Weights, two numbers a channel for each batch norm, and with `bias` one a class."""
        channels, rows, columns = self._pooled(shapes)
        convolutions = NARROW * channels + WIDE * NARROW * rows * columns
        return convolutions + 2 * (NARROW + WIDE) + (WIDE + self.bias) * self.num_classes

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        channels, rows, columns = self._pooled(shapes)
        return NARROW * (channels + WIDE) * rows * columns + WIDE * self.num_classes

    def activations(self, *shapes: Shape) -> int:
        """The map after ReLU, the pooled one, and each convolution's output before and after batch norm."""
        channels, height, width = only(self, shapes)
        _, rows, columns = self._pooled(shapes)
        return channels * (height * width + rows * columns) + 2 * (NARROW * rows * columns + WIDE)

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU, pooling, two convolutions with batch norm folded into them, the linear layer."""
        channels, rows, columns = self._pooled(shapes)
        return in_turn(
            Operation(math.prod(only(self, shapes)), in_place=True),
            Operation(channels * rows * columns),
            Operation(NARROW * rows * columns, channels * NARROW, NARROW),
            Operation(WIDE, WIDE * NARROW * rows * columns, WIDE),
            Operation(self.num_classes, WIDE * self.num_classes, self.num_classes * self.bias),
        )

    def module(self, *shapes: Shape) -> nn.Module:
        """As above, flattened before the linear layer."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        channels, rows, columns = self._pooled(shapes)
        return nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(self._kernel(shapes), STRIDE),
            convolution(channels, NARROW, 1),
            nn.BatchNorm2d(NARROW),
            nn.ReLU(inplace=True),
            convolution(NARROW, WIDE, (rows, columns)),
            nn.BatchNorm2d(WIDE),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(WIDE, self.num_classes, bias=self.bias),
        )

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        channels, rows, columns = self._pooled(shapes)
        bias = "" if self.bias else ", bias=False"
        return (
            f"nn.Sequential(nn.ReLU(), nn.AvgPool2d({self._kernel(shapes)}, {STRIDE}), "
            f"nn.Conv2d({channels}, {NARROW}, 1, bias=False), nn.BatchNorm2d({NARROW}), nn.ReLU(), "
            f"nn.Conv2d({NARROW}, {WIDE}, ({rows}, {columns}), bias=False), nn.BatchNorm2d({WIDE}), nn.ReLU(), "
            f"nn.Flatten(), nn.Linear({WIDE}, {self.num_classes}{bias}))"
        )

    def _kernel(self, shapes: tuple[Shape, ...]) -> tuple[int, int]:
        _, height, width = only(self, shapes)
        return min(POOL, height), min(POOL, width)

    def _pooled(self, shapes: tuple[Shape, ...]) -> Shape:
        """The map after pooling."""
        channels, height, width = only(self, shapes)
        high, wide = self._kernel(shapes)
        return channels, (height - high) // STRIDE + 1, (width - wide) // STRIDE + 1
