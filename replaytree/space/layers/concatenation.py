"""Feature maps side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output
from replaytree.space.layers.operation import INPUT, Operation

if TYPE_CHECKING:
    from torch import nn

_CONCATENATION = '''
class Concatenation(nn.Module):
    """The channels of all inputs; rows and columns of zeros are added to the smaller ones at right and below."""

    def __init__(self, *added):
        super().__init__()
        self.added = added  # for each input: (columns, rows)

    def forward(self, *inputs):
        padded = [nn.functional.pad(x, (0, columns, 0, rows)) for x, (columns, rows) in zip(inputs, self.added)]
        return torch.cat(padded, dim=1)

'''


@dataclass(frozen=True, slots=True)
class Concatenation:
    """The channels of all inputs, one after the other.

    Smaller feature maps are padded with zeros, at right and below, to the largest height and width (Zoph and Le, 2017,
    section 3.3).
    """

    definitions: ClassVar[tuple[str, ...]] = (_CONCATENATION,)

    @property
    def label(self) -> str:
        """'concat'."""
        return "concat"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """All channels, the largest sides; None without an input."""
        if not shapes:
            return None
        channels, heights, widths = zip(*shapes, strict=True)
        return sum(channels), max(heights), max(widths)

    def why_illegal(self, *shapes: Shape) -> str:
        """It has no input."""
        return "it needs at least one feature map"

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds: 0; SpaceError without an input."""
        legal_output(self, *shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The output."""
        return math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The copies of all inputs."""
        reads = tuple(INPUT - place for place in range(len(shapes)))
        return (Operation(math.prod(legal_output(self, *shapes)), reads=reads),)

    def module(self, *shapes: Shape) -> nn.Module:
        """Padding and torch.cat."""
        from replaytree.space.layers.modules.concatenation import ConcatenationModule

        return ConcatenationModule(self._added(shapes))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        return f"Concatenation({', '.join(map(str, self._added(shapes)))})"

    def _added(self, shapes: tuple[Shape, ...]) -> tuple[tuple[int, int], ...]:
        _, rows, columns = legal_output(self, *shapes)
        return tuple((columns - width, rows - height) for _, height, width in shapes)
