"""The sum of feature maps, and batch norm."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, why_shapes_differ
from replaytree.space.layers.operation import Operation, added

if TYPE_CHECKING:
    from torch import nn

_SUM = '''
class NormedSum(nn.Module):
    """The sum of all inputs, then batch norm."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first, *others):
        for other in others:
            first = first + other
        return self.norm(first)

'''


@dataclass(frozen=True, slots=True)
class NormedSum:
    """The sum of one or more feature maps of one shape, then batch norm."""

    definitions: ClassVar[tuple[str, ...]] = (_SUM,)

    @property
    def label(self) -> str:
        """'sum'."""
        return "sum"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """That of the inputs; None where they differ, or there is none."""
        return shapes[0] if len(set(shapes)) == 1 else None

    def why_illegal(self, *shapes: Shape) -> str:
        """The shapes differ, or there is none."""
        if not shapes:
            return "it needs at least one feature map"
        return why_shapes_differ(shapes)

    def params(self, *shapes: Shape) -> int:
        """Two numbers a channel for the batch norm."""
        return 2 * shapes[0][0]

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds are counted: 0; SpaceError where the layer is illegal."""
        legal_output(self, *shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The output after batch norm; before it, too, where something was added."""
        return min(len(shapes), 2) * math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The sum, and batch norm, which no convolution of its own stands before."""
        shape = legal_output(self, *shapes)
        size, channels = math.prod(shape), shape[0]
        norm = Operation(size, channels, channels, in_place=True)
        return (norm,) if len(shapes) == 1 else (added(size, len(shapes)), replace(norm, reads=(0,)))

    def module(self, *shapes: Shape) -> nn.Module:
        """The sum, and `norm`."""
        from replaytree.space.layers.modules.normed_sum import NormedSumModule

        return NormedSumModule(legal_output(self, *shapes)[0])

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        return f"NormedSum({legal_output(self, *shapes)[0]})"
