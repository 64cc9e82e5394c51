"""A convolution of one side and then one of the other, in a bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import (
    legal_output,
    norm_source,
    only,
    require_odd,
    require_whole,
    stride_suffix,
    strided_shape,
    why_stride_illegal,
)
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn

Sides = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SplitConvolution:
    """1x1 to a quarter of the channels, 1 x `length`, `length` x 1, and 1x1 to `channels`, as in AmoebaNet.

    ReLU stands before each and batch norm behind it. The second has the stride for the columns, the third for the rows;
    zero padding makes each side ceil(side / stride). Fewer than four channels have no bottleneck: the 1x1 convolutions
    are left out. Illegal where a side is below the stride.
    """

    channels: int
    length: int = 7
    stride: int = 1

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in ("channels", "stride"):
            require_whole(f"{name} of a SplitConvolution", getattr(self, name), least=1)
        require_odd("length of a SplitConvolution", self.length, least=3)

    @property
    def label(self) -> str:
        """As in 'split36k7' and 'split36k7s2'."""
        return f"split{self.channels}k{self.length}{stride_suffix(self.stride)}"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for each batch norm."""
        found = self._convolutions(only(self, shapes)[0])
        return sum((inputs * rows * columns + 2) * channels for inputs, channels, (rows, columns), _ in found)

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        legal_output(self, *shapes)
        inputs, height, width = only(self, shapes)
        total = 0
        for read, channels, (rows, columns), (down, right) in self._convolutions(inputs):
            height, width = -(-height // down), -(-width // right)
            total += read * rows * columns * channels * height * width
        return total

    def activations(self, *shapes: Shape) -> int:
        """What each ReLU gives and what each batch norm reads; the output."""
        output = legal_output(self, *shapes)
        inputs, height, width = only(self, shapes)
        total = 0
        for read, channels, _, (down, right) in self._convolutions(inputs):
            total += read * height * width
            height, width = -(-height // down), -(-width // right)
            total += channels * height * width
        return total + output[0] * output[1] * output[2]

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU before each convolution, and batch norm folded into it."""
        legal_output(self, *shapes)
        inputs, height, width = only(self, shapes)
        found = [Operation(inputs * height * width, in_place=True)]
        for read, channels, (rows, columns), (down, right) in self._convolutions(inputs):
            height, width = -(-height // down), -(-width // right)
            found.append(Operation(channels * height * width, read * rows * columns * channels, channels))
        return in_turn(*found)

    def module(self, *shapes: Shape) -> nn.Module:
        """ReLU, a convolution and batch norm, four times."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        modules: list[nn.Module] = []
        for inputs, channels, kernel, stride in self._convolutions(only(self, shapes)[0]):
            modules += [
                # The first one's input is read by others, too.
                nn.ReLU(inplace=bool(modules)),
                convolution(inputs, channels, kernel, stride, _padding(kernel)),
                nn.BatchNorm2d(channels),
            ]
        return nn.Sequential(*modules)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        modules: list[str] = []
        for inputs, channels, kernel, stride in self._convolutions(only(self, shapes)[0]):
            modules += [
                "nn.ReLU()",
                f"nn.Conv2d({inputs}, {channels}, {kernel}, {stride}, {_padding(kernel)}, bias=False)",
                norm_source(channels),
            ]
        return f"nn.Sequential({', '.join(modules)})"

    def _convolutions(self, inputs: int) -> tuple[tuple[int, int, Sides, Sides], ...]:
        """(inputs, channels, kernel, stride) of each."""
        narrow = self.channels // 4
        wide, high = ((1, self.length), (1, self.stride)), ((self.length, 1), (self.stride, 1))
        if not narrow:
            return (inputs, self.channels, *wide), (self.channels, self.channels, *high)
        first, last = (inputs, narrow, (1, 1), (1, 1)), (narrow, self.channels, (1, 1), (1, 1))
        return first, (narrow, narrow, *wide), (narrow, narrow, *high), last


def _padding(kernel: Sides) -> Sides:
    return kernel[0] // 2, kernel[1] // 2
