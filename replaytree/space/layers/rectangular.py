"""Convolution, ReLU, batch norm, with a kernel and a stride of two sides each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replaytree.records import Shape
from replaytree.space.layers.layer import (
    format_shape,
    legal_output,
    only,
    require_channels,
    require_whole,
)
from replaytree.space.layers.operation import Operation, in_turn
from replaytree.space.layers.subsampled import SUBSAMPLED, convolution_class

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class RectangularConvolution:
    """Convolution without bias, ReLU, batch norm, in that order (Zoph and Le, 2017).

    `channels` is the nominal number, the one in the label; `width` scales it to `output_channels`. Zero padding of
    kernel - 1 pixels in all (the odd one right and below) makes each side ceil(side / stride). Illegal where a side
    is below its stride.
    """

    channels: int
    kernel_height: int
    kernel_width: int
    stride_height: int = 1
    stride_width: int = 1
    width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("channels", "kernel_height", "kernel_width", "stride_height", "stride_width"):
            require_whole(f"{name} of a RectangularConvolution", getattr(self, name), least=1)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in '3x5f36' and '3x5s2x1f36': height x width of the kernel, of the stride where there is one; filters."""
        stride = "" if self._stride == (1, 1) else f"s{self.stride_height}x{self.stride_width}"
        return f"{self.kernel_height}x{self.kernel_width}{stride}f{self.channels}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    @property
    def definitions(self) -> tuple[str, ...]:
        """Subsampled, for a kernel of 1x1 with a stride."""
        return (SUBSAMPLED,) if convolution_class(self._kernel, self._stride) == "Subsampled" else ()

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        _, height, width = only(self, shapes)
        if height < self.stride_height or width < self.stride_width:
            return None
        return self.output_channels, -(-height // self.stride_height), -(-width // self.stride_width)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below its stride."""
        found = f"the feature map is {format_shape(only(self, shapes))}"
        return f"strides {self.stride_height}x{self.stride_width} need as many pixels, and {found}"

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm."""
        return (only(self, shapes)[0] * math.prod(self._kernel) + 2) * self.output_channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        return only(self, shapes)[0] * math.prod(self._kernel) * math.prod(legal_output(self, *shapes))

    def activations(self, *shapes: Shape) -> int:
        """The ReLU's output, which overwrites the convolution's, and the batch norm's; also a padded input."""
        channels, height, width = only(self, shapes)
        padded = channels * (height + self.kernel_height - 1) * (width + self.kernel_width - 1) if self._uneven else 0
        return 2 * math.prod(legal_output(self, *shapes)) + padded

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The convolution with its ReLU, and batch norm, which cannot be folded over a ReLU."""
        size, channels = math.prod(legal_output(self, *shapes)), self.output_channels
        weights = self.params(*shapes) - 2 * channels
        return in_turn(Operation(size, weights), Operation(size, channels, channels, in_place=True))

    def module(self, *shapes: Shape) -> nn.Module:
        """Padding for an even side of the kernel, the convolution, ReLU, batch norm."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        # nn.Conv2d pads both sides alike.
        modules: list[nn.Module] = [nn.ZeroPad2d(self._padding)] if self._uneven else []
        channels = only(self, shapes)[0]
        modules.append(convolution(channels, self.output_channels, self._kernel, self._stride, self._own_padding))
        return nn.Sequential(*modules, nn.ReLU(inplace=True), nn.BatchNorm2d(self.output_channels))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        modules = [f"nn.ZeroPad2d({self._padding})"] if self._uneven else []
        modules += [
            f"{convolution_class(self._kernel, self._stride)}({only(self, shapes)[0]}, {self.output_channels}, "
            f"{self._kernel}, {self._stride}, {self._own_padding}, bias=False)",
            "nn.ReLU()",
            f"nn.BatchNorm2d({self.output_channels})",
        ]
        return f"nn.Sequential({', '.join(modules)})"

    @property
    def _kernel(self) -> tuple[int, int]:
        return self.kernel_height, self.kernel_width

    @property
    def _stride(self) -> tuple[int, int]:
        return self.stride_height, self.stride_width

    @property
    def _uneven(self) -> bool:
        return any(side % 2 == 0 for side in self._kernel)

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        """Left, right, above, below."""
        (height, width) = self._kernel
        return (width - 1) // 2, width // 2, (height - 1) // 2, height // 2

    @property
    def _own_padding(self) -> tuple[int, int]:
        """What the convolution pads by itself: rows and columns on each side."""
        return (0, 0) if self._uneven else (self._padding[2], self._padding[0])
