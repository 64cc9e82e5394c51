"""Average and maximum pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, only, require_whole, why_stride_illegal
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn

PoolingKind = Literal["avg", "max"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """Average or maximum pooling, padded by (kernel - 1) // 2 on each side; padding never counts in an average.

    Kernel 2 stride 2 gives floor(side / 2), kernel 3 ceil(side / stride). Illegal where a side is below the stride.
    """

    kind: PoolingKind
    kernel: int
    stride: int

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolingKind):
            raise SpaceError(f"kind of a Pooling is {self.kind!r}; it must be 'avg' or 'max'")
        for name in ("kernel", "stride"):
            require_whole(f"{name} of a Pooling", getattr(self, name), least=1)

    @property
    def label(self) -> str:
        """As in 'avg2s2' and 'max3s1'."""
        return f"{self.kind}{self.kernel}s{self.stride}"

    @property
    def padding(self) -> int:
        """Pixels on each side."""
        return (self.kernel - 1) // 2

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        channels, *sides = only(self, shapes)
        height, width = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in sides)
        return (channels, height, width) if min(sides) >= self.stride and min(height, width) >= 1 else None

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride, or below the kernel."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds are counted: 0; SpaceError where the layer is illegal."""
        legal_output(self, *shapes)
        return 0

    def activations(self, *shapes: Shape) -> int:
        """The output; for the maximum also where each value came from, an index of 64 bits."""
        return (3 if self.kind == "max" else 1) * math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The pooling."""
        return (Operation(math.prod(legal_output(self, *shapes))),)

    def module(self, *shapes: Shape) -> nn.Module:
        """torch's own pooling."""
        from torch import nn

        if self.kind == "avg":
            return nn.AvgPool2d(self.kernel, self.stride, self.padding, count_include_pad=False)
        return nn.MaxPool2d(self.kernel, self.stride, self.padding)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        if self.kind == "avg":
            return f"nn.AvgPool2d({self.kernel}, {self.stride}, {self.padding}, count_include_pad=False)"
        return f"nn.MaxPool2d({self.kernel}, {self.stride}, {self.padding})"
