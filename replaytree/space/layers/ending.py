"""The layer that ends a path: what the classifier head reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import only
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn

EndingKind = Literal["softmax", "gap"]


@dataclass(frozen=True, slots=True)
class Ending:
    """'softmax' makes one column of the feature map, so that the head reads every value of it.

    'gap' is global average pooling: the head reads the average of each channel. In a joint training the head behind an
    ending is the linear layer alone that it is in the network.
    """

    kind: EndingKind

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(EndingKind):
            raise SpaceError(f"kind of an Ending is {self.kind!r}; it must be 'softmax' or 'gap'")

    @property
    def label(self) -> str:
        """'softmax' or 'gap'."""
        return self.kind

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """What the head reads."""
        shape = only(self, shapes)
        return (math.prod(shape) if self.kind == "softmax" else shape[0]), 1, 1

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "an ending is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """None to train: 0; the head's are its own."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds are counted: 0."""
        only(self, shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The averages; the column, which is a copy where the map has several channels and several pixels."""
        channels, height, width = only(self, shapes)
        if self.kind == "gap":
            return channels
        return channels * height * width if min(channels, height * width) > 1 else 0

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The averages; a column, which is the map itself."""
        size = math.prod(self.output_shape(*shapes) or ())
        return (Operation(size, in_place=self.kind == "softmax"),)

    def module(self, *shapes: Shape) -> nn.Module:
        """Flattening, or torch's own average pooling."""
        from torch import nn

        if self.kind == "gap":
            return nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (math.prod(only(self, shapes)), 1, 1)))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        if self.kind == "gap":
            return "nn.AdaptiveAvgPool2d(1)"
        return f"nn.Sequential(nn.Flatten(), nn.Unflatten(1, ({math.prod(only(self, shapes))}, 1, 1)))"
