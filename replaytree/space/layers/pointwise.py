"""A 1x1 convolution of which others are added before batch norm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import only, require_whole
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Pointwise:
    """ReLU and a 1x1 convolution without bias. A NormedSum reads it: no norm stands here.

    The sum of some is one such convolution of their inputs, concatenated.
    """

    channels: int

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_whole("channels of a Pointwise", self.channels, least=1)

    @property
    def label(self) -> str:
        """As in 'point36'."""
        return f"point{self.channels}"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The same sides."""
        _, height, width = only(self, shapes)
        return self.channels, height, width

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "a convolution that keeps the sides is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """The weights."""
        return only(self, shapes)[0] * self.channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        return math.prod(only(self, shapes)) * self.channels

    def activations(self, *shapes: Shape) -> int:
        """What ReLU gives, and the output."""
        channels, height, width = only(self, shapes)
        return (channels + self.channels) * height * width

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU, and the convolution."""
        channels, height, width = only(self, shapes)
        rectified = Operation(channels * height * width, in_place=True)
        return in_turn(rectified, Operation(self.channels * height * width, channels * self.channels))

    def module(self, *shapes: Shape) -> nn.Module:
        """ReLU and the convolution."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        return nn.Sequential(nn.ReLU(), convolution(only(self, shapes)[0], self.channels, 1))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        return f"nn.Sequential(nn.ReLU(), nn.Conv2d({only(self, shapes)[0]}, {self.channels}, 1, bias=False))"
