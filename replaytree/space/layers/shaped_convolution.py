"""Convolution with a kernel of two sides, dilated perhaps, batch norm, ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from replaytree.space.layers.operation import Operation
from replaytree.space.layers.subsampled import SUBSAMPLED, convolution_class

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class ShapedConvolution:
    """Convolution without bias, batch norm, ReLU. The kernel has two odd sides, 1x5 for example.

    Its pixels are `dilation` apart. `channels` is the nominal number, the one in the label; `width` scales it to
    `output_channels`. Zero padding makes each side ceil(side / stride). Illegal where a side is below the stride.
    """

    channels: int
    kernel_height: int
    kernel_width: int
    stride: int = 1
    dilation: int = 1
    width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("channels", "stride", "dilation"):
            require_whole(f"{name} of a ShapedConvolution", getattr(self, name), least=1)
        for name in ("kernel_height", "kernel_width"):
            require_odd(f"{name} of a ShapedConvolution", getattr(self, name), least=1)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'conv16k1x5', 'conv16k3x3d2' and 'conv16k5x1s2'."""
        dilation = f"d{self.dilation}" if self.dilation > 1 else ""
        return f"conv{self.channels}k{self.kernel_height}x{self.kernel_width}{dilation}{stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    @property
    def definitions(self) -> tuple[str, ...]:
        """Subsampled, for a kernel of 1x1 with a stride."""
        return (SUBSAMPLED,) if self._class == "Subsampled" else ()

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.output_channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm."""
        return (only(self, shapes)[0] * self.kernel_height * self.kernel_width + 2) * self.output_channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        channels, height, width = legal_output(self, *shapes)
        return only(self, shapes)[0] * self.kernel_height * self.kernel_width * channels * height * width

    def activations(self, *shapes: Shape) -> int:
        """The convolution's output and the ReLU's."""
        channels, height, width = legal_output(self, *shapes)
        return 2 * channels * height * width

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The convolution; batch norm is folded into it."""
        weights = self.params(*shapes) - 2 * self.output_channels
        return (Operation(math.prod(legal_output(self, *shapes)), weights, self.output_channels),)

    def module(self, *shapes: Shape) -> nn.Module:
        """The convolution, batch norm, ReLU."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        return nn.Sequential(
            convolution(
                only(self, shapes)[0],
                self.output_channels,
                self._kernel,
                self.stride,
                self._padding,
                dilation=self.dilation,
            ),
            nn.BatchNorm2d(self.output_channels),
            nn.ReLU(inplace=True),
        )

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        dilation = f"dilation={self.dilation}, " if self.dilation > 1 else ""
        return (
            f"nn.Sequential({self._class}({only(self, shapes)[0]}, {self.output_channels}, {self._kernel}, "
            f"{self.stride}, {self._padding}, {dilation}bias=False), nn.BatchNorm2d({self.output_channels}), nn.ReLU())"
        )

    @property
    def _class(self) -> str:
        return convolution_class(self._kernel, self.stride)

    @property
    def _kernel(self) -> tuple[int, int]:
        return self.kernel_height, self.kernel_width

    @property
    def _padding(self) -> tuple[int, int]:
        return self.kernel_height // 2 * self.dilation, self.kernel_width // 2 * self.dilation
