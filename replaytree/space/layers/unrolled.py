"""A feature map as one column of pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import only
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The rows of each channel one below the other: (channels, height, width) -> (channels, height x width, 1).

    Convolutions behind it are one-dimensional.
    """

    definitions: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """'unrolled'."""
        return "unrolled"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """One column."""
        channels, height, width = only(self, shapes)
        return channels, height * width, 1

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "any feature map can be unrolled"

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds: 0."""
        only(self, shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """None: the output is the input's memory, seen in another way."""
        only(self, shapes)
        return 0

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The map itself, seen in another way."""
        return (Operation(math.prod(only(self, shapes)), in_place=True),)

    def module(self, *shapes: Shape) -> nn.Module:
        """torch's own reshaping."""
        from torch import nn

        _, height, width = only(self, shapes)
        return nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (height * width, 1)))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        _, height, width = only(self, shapes)
        return f"nn.Sequential(nn.Flatten(2), nn.Unflatten(2, ({height * width}, 1)))"
