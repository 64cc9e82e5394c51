"""ReLU by itself."""

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
class Rectifier:
    """ReLU, which leaves its input as it is."""

    definitions: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        """'relu'."""
        return "relu"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """That of the input."""
        return only(self, shapes)

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "ReLU is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds: 0."""
        only(self, shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The output."""
        return math.prod(only(self, shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU."""
        return (Operation(math.prod(only(self, shapes)), in_place=True),)

    def module(self, *shapes: Shape) -> nn.Module:
        """torch's own."""
        from torch import nn

        return nn.ReLU()

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        return "nn.ReLU()"
