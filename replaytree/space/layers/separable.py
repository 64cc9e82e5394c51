"""The depthwise-separable convolution."""

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
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class SeparableConvolution:
    """A convolution of each channel by itself, then one of 1x1; batch norm and ReLU after each (MobileNet, DS-CNN).

    The first has the kernel, odd and at least 3, and the stride. `channels` is the nominal number, the one in the
    label; `width` scales it to `output_channels`. Sides become ceil(side / stride); illegal where a side is below the
    stride.
    """

    channels: int
    kernel: int
    stride: int = 1
    width: float = 1.0

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in ("channels", "stride"):
            require_whole(f"{name} of a SeparableConvolution", getattr(self, name), least=1)
        require_odd("kernel of a SeparableConvolution", self.kernel, least=3)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'sep16k3' and 'sep16k3s2'."""
        return f"sep{self.channels}k{self.kernel}{stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.output_channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for each batch norm."""
        channels = only(self, shapes)[0]
        return self._weights(channels) + 2 * (channels + self.output_channels)

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        _, height, width = legal_output(self, *shapes)
        return self._weights(only(self, shapes)[0]) * height * width

    def activations(self, *shapes: Shape) -> int:
        """The outputs of both convolutions and of both ReLUs."""
        _, height, width = legal_output(self, *shapes)
        return 2 * (only(self, shapes)[0] + self.output_channels) * height * width

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """Both convolutions, with batch norm folded into them."""
        channels, after = only(self, shapes)[0], self.output_channels
        _, height, width = legal_output(self, *shapes)
        return in_turn(
            Operation(channels * height * width, channels * self.kernel**2, channels),
            Operation(after * height * width, channels * after, after),
        )

    def module(self, *shapes: Shape) -> nn.Module:
        """Convolution, batch norm and ReLU, twice."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        channels, after = only(self, shapes)[0], self.output_channels
        return nn.Sequential(
            convolution(channels, channels, self.kernel, self.stride, self.kernel // 2, groups=channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            convolution(channels, after, 1),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        channels, after = only(self, shapes)[0], self.output_channels
        modules = [
            f"nn.Conv2d({channels}, {channels}, {self.kernel}, {self.stride}, {self.kernel // 2}, groups={channels}, "
            f"bias=False)",
            f"nn.BatchNorm2d({channels})",
            "nn.ReLU()",
            f"nn.Conv2d({channels}, {after}, 1, bias=False)",
            f"nn.BatchNorm2d({after})",
            "nn.ReLU()",
        ]
        return f"nn.Sequential({', '.join(modules)})"

    def _weights(self, channels: int) -> int:
        return channels * (self.kernel**2 + self.output_channels)
