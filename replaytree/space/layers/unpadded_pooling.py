"""Maximum pooling without padding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, only, require_whole
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class UnpaddedPooling:
    """Maximum pooling without padding: each side becomes floor((side - kernel) / stride) + 1.

    Illegal where a side is below the kernel.
    """

    kernel: int
    stride: int

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in ("kernel", "stride"):
            require_whole(f"{name} of an UnpaddedPooling", getattr(self, name), least=1)

    @property
    def label(self) -> str:
        """As in 'pool5s3'."""
        return f"pool{self.kernel}s{self.stride}"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        channels, *sides = only(self, shapes)
        height, width = ((side - self.kernel) // self.stride + 1 for side in sides)
        return (channels, height, width) if min(sides) >= self.kernel else None

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the kernel."""
        _, height, width = only(self, shapes)
        return f"a kernel of {self.kernel} needs sides of at least that, and the map is {height}x{width}"

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds are counted: 0; SpaceError where the layer is illegal."""
        legal_output(self, *shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The output, and where each value came from, an index of 64 bits."""
        return 3 * math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The pooling."""
        return (Operation(math.prod(legal_output(self, *shapes))),)

    def module(self, *shapes: Shape) -> nn.Module:
        """torch's own pooling."""
        from torch import nn

        return nn.MaxPool2d(self.kernel, self.stride)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        return f"nn.MaxPool2d({self.kernel}, {self.stride})"
