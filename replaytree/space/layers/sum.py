"""The sum of feature maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, why_shapes_differ
from replaytree.space.layers.operation import Operation, added

if TYPE_CHECKING:
    from torch import nn

_SUM = '''
class Sum(nn.Module):
    """The sum of all inputs."""

    def forward(self, first, *others):
        for other in others:
            first = first + other
        return first

'''


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of two or more feature maps of one shape."""

    definitions: ClassVar[tuple[str, ...]] = (_SUM,)

    @property
    def label(self) -> str:
        """'add'."""
        return "add"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """That of the inputs; None where they differ, or there are fewer than two."""
        return shapes[0] if len(shapes) > 1 and len(set(shapes)) == 1 else None

    def why_illegal(self, *shapes: Shape) -> str:
        """The shapes differ, or there are fewer than two."""
        return "it needs at least two feature maps" if len(shapes) < 2 else why_shapes_differ(shapes)

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds are counted: 0; SpaceError where the layer is illegal."""
        legal_output(self, *shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The output."""
        return math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The sum."""
        return (added(math.prod(legal_output(self, *shapes)), len(shapes)),)

    def module(self, *shapes: Shape) -> nn.Module:
        """The sum."""
        from replaytree.space.layers.modules.sum import SumModule

        return SumModule()

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        return "Sum()"
