"""The inverted residual block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import (
    legal_output,
    only,
    require_channels,
    require_odd,
    require_whole,
    stride_suffix,
    strided_shape,
    why_stride_illegal,
)
from replaytree.space.layers.operation import INPUT, Operation, in_turn

if TYPE_CHECKING:
    from torch import nn

_SKIP = '''
class Skip(nn.Sequential):
    """x + layers(x)."""

    def forward(self, x):
        return x + super().forward(x)

'''


@dataclass(frozen=True, slots=True)
class InvertedResidual:
    """1x1 convolution to `expansion` times the channels, one of each channel by itself, 1x1 convolution (MobileNetV2).

    Batch norm after each, ReLU6 after the first two. The input is added where stride and channels leave its shape as
    it is. The middle one has the kernel, odd and at least 3, and the stride. `channels` is the nominal number, the one
    in the label; `width` scales it to `output_channels`. Sides become ceil(side / stride); illegal where a side is
    below the stride.
    """

    channels: int
    expansion: int
    stride: int = 1
    kernel: int = 3
    width: float = 1.0

    definitions: ClassVar[tuple[str, ...]] = (_SKIP,)

    def __post_init__(self) -> None:
        for name in ("channels", "expansion", "stride"):
            require_whole(f"{name} of an InvertedResidual", getattr(self, name), least=1)
        require_odd("kernel of an InvertedResidual", self.kernel, least=3)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'inv16e4k3' and 'inv16e4k3s2'."""
        return f"inv{self.channels}e{self.expansion}k{self.kernel}{stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    def skips(self, input_channels: int) -> bool:
        """Whether the input is added."""
        return self.stride == 1 and input_channels == self.output_channels

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the block; None where it is illegal."""
        return strided_shape(only(self, shapes), self.output_channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights of three convolutions, and two numbers a channel for each batch norm."""
        channels, hidden, after = self._channels(shapes)
        return hidden * (channels + self.kernel**2 + after) + 2 * (2 * hidden + after)

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the block is illegal."""
        channels, hidden, after = self._channels(shapes)
        _, height, width = only(self, shapes)
        _, rows, columns = legal_output(self, *shapes)
        return hidden * (channels * height * width + (self.kernel**2 + after) * rows * columns)

    def activations(self, *shapes: Shape) -> int:
        """The outputs of the three convolutions; each ReLU6's input and output; the block's output."""
        _, hidden, after = self._channels(shapes)
        _, height, width = only(self, shapes)
        _, rows, columns = legal_output(self, *shapes)
        return 3 * hidden * (height * width + rows * columns) + 2 * after * rows * columns

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The three convolutions, with batch norm folded into them, and the addition of the input."""
        channels, hidden, after = self._channels(shapes)
        _, height, width = only(self, shapes)
        _, rows, columns = legal_output(self, *shapes)
        found = in_turn(
            Operation(hidden * height * width, channels * hidden, hidden),
            Operation(hidden * rows * columns, hidden * self.kernel**2, hidden),
            Operation(after * rows * columns, hidden * after, after),
        )
        skip = Operation(after * rows * columns, reads=(2, INPUT), in_place=True)
        return (*found, skip) if self.skips(channels) else found

    def module(self, *shapes: Shape) -> nn.Module:
        """The three convolutions, in a Skip where the input is added."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution
        from replaytree.space.layers.modules.skip import Skip

        channels, hidden, after = self._channels(shapes)
        return (Skip if self.skips(channels) else nn.Sequential)(
            convolution(channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            convolution(hidden, hidden, self.kernel, self.stride, self.kernel // 2, groups=hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            convolution(hidden, after, 1),
            nn.BatchNorm2d(after),
        )

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        channels, hidden, after = self._channels(shapes)
        modules = [
            f"nn.Conv2d({channels}, {hidden}, 1, bias=False)",
            f"nn.BatchNorm2d({hidden})",
            "nn.ReLU6()",
            f"nn.Conv2d({hidden}, {hidden}, {self.kernel}, {self.stride}, {self.kernel // 2}, groups={hidden}, "
            f"bias=False)",
            f"nn.BatchNorm2d({hidden})",
            "nn.ReLU6()",
            f"nn.Conv2d({hidden}, {after}, 1, bias=False)",
            f"nn.BatchNorm2d({after})",
        ]
        return f"{'Skip' if self.skips(channels) else 'nn.Sequential'}({', '.join(modules)})"

    def _channels(self, shapes: tuple[Shape, ...]) -> tuple[int, int, int]:
        """Of the input, within, of the output."""
        channels = only(self, shapes)[0]
        return channels, self.expansion * channels, self.output_channels
