"""Half the sides without losing every second pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import (
    legal_output,
    only,
    require_switch,
    require_whole,
    strided_shape,
    why_stride_illegal,
)
from replaytree.space.layers.operation import INPUT, Operation

if TYPE_CHECKING:
    from torch import nn

_REDUCTION = '''
class FactorizedReduction(nn.Module):
    """Half the channels from the even rows and columns, half from the odd ones, then batch norm."""

    def __init__(self, inputs, channels, columns, rows, relu=False, affine=True):
        super().__init__()
        self.added = (0, columns, 0, rows)  # zeros at right and below, where a side is odd
        self.relu = relu
        self.even = nn.Conv2d(inputs, channels // 2, 1, bias=False)
        self.odd = nn.Conv2d(inputs, channels - channels // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x):
        x = x.relu() if self.relu else x
        odd = nn.functional.pad(x, self.added)[:, :, 1::2, 1::2]
        return self.norm(torch.cat([self.even(x[:, :, ::2, ::2]), self.odd(odd)], dim=1))

'''


@dataclass(frozen=True, slots=True)
class FactorizedReduction:
    """Sides of ceil(side / 2), as in ENAS and DARTS: two 1x1 convolutions without bias, side by side, and batch norm.

    The first half of the channels is made of the pixels in even rows and columns, from 0; the second half of those in
    odd rows and columns, where zeros stand beyond an odd side. With `relu`, ReLU stands before them. Illegal where a
    side is below 2. Without `affine` the batch norm has no numbers to train.
    """

    channels: int
    relu: bool = False
    affine: bool = True

    definitions: ClassVar[tuple[str, ...]] = (_REDUCTION,)

    def __post_init__(self) -> None:
        require_whole("channels of a FactorizedReduction", self.channels, least=2)
        for name in ("relu", "affine"):
            require_switch(f"{name} of a FactorizedReduction", getattr(self, name))

    @property
    def label(self) -> str:
        """As in 'reduce72'."""
        return f"reduce{self.channels}"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.channels, 2)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below 2."""
        return why_stride_illegal(only(self, shapes), 2)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm if it is affine."""
        return (only(self, shapes)[0] + 2 * self.affine) * self.channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        return only(self, shapes)[0] * math.prod(legal_output(self, *shapes))

    def activations(self, *shapes: Shape) -> int:
        """The output before and after batch norm; the padded input where a side is odd; the input's ReLU."""
        channels, height, width = only(self, shapes)
        columns, rows = self._added(shapes)
        padded = channels * (height + rows) * (width + columns) if rows or columns else 0
        rectified = channels * height * width if self.relu else 0
        return 2 * math.prod(legal_output(self, *shapes)) + padded + rectified

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU; the two convolutions, with batch norm folded into them; their outputs side by side."""
        channels, after = only(self, shapes)[0], self.channels
        _, height, width = legal_output(self, *shapes)
        relu = (Operation(math.prod(only(self, shapes)), in_place=True),) if self.relu else ()
        source = len(relu) + INPUT
        halves = (
            Operation(half * height * width, channels * half, half, reads=(source,))
            for half in (after // 2, after - after // 2)
        )
        return (*relu, *halves, Operation(after * height * width, reads=(source + 1, source + 2)))

    def module(self, *shapes: Shape) -> nn.Module:
        """`even` and `odd`, side by side, and `norm`."""
        from replaytree.space.layers.modules.factorized_reduction import FactorizedReductionModule

        return FactorizedReductionModule(
            only(self, shapes)[0], self.channels, self._added(shapes), relu=self.relu, affine=self.affine
        )

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        columns, rows = self._added(shapes)
        switches = f"{', relu=True' if self.relu else ''}{'' if self.affine else ', affine=False'}"
        return (
            f"FactorizedReduction({only(self, shapes)[0]}, {self.channels}, columns={columns}, rows={rows}{switches})"
        )

    def _added(self, shapes: tuple[Shape, ...]) -> tuple[int, int]:
        _, height, width = only(self, shapes)
        return width % 2, height % 2
