"""Convolution, batch norm, ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replaytree.records import Shape
from replaytree.space.layers.layer import (
    legal_output,
    only,
    require_channels,
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
class Convolution:
    """Convolution without bias, batch norm, ReLU.

    `channels` is the nominal number, the one in the label; `width` scales it to `output_channels`. Zero padding of
    kernel - 1 pixels in all (the odd one right and below) makes each side ceil(side / stride). Illegal where a side
    is below the stride.
    """

    channels: int
    kernel: int
    stride: int = 1
    width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride"):
            require_whole(f"{name} of a Convolution", getattr(self, name), least=1)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'conv32k3' and 'conv32k3s2'."""
        return f"conv{self.channels}k{self.kernel}{stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    @property
    def definitions(self) -> tuple[str, ...]:
        """Subsampled, for a kernel of 1 with a stride."""
        return (SUBSAMPLED,) if self.kernel == 1 and self.stride > 1 else ()

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.output_channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm."""
        return only(self, shapes)[0] * self.output_channels * self.kernel**2 + 2 * self.output_channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        channels, height, width = legal_output(self, *shapes)
        return only(self, shapes)[0] * channels * self.kernel**2 * height * width

    def activations(self, *shapes: Shape) -> int:
        """The convolution's output and the ReLU's; for an even kernel the padded input, too."""
        channels, *sides = only(self, shapes)
        padded = math.prod((channels, *(side + self.kernel - 1 for side in sides))) if self.kernel % 2 == 0 else 0
        return 2 * math.prod(legal_output(self, *shapes)) + padded

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The convolution; batch norm is folded into it."""
        weights = self.params(*shapes) - 2 * self.output_channels
        return (Operation(math.prod(legal_output(self, *shapes)), weights, self.output_channels),)

    def module(self, *shapes: Shape) -> nn.Module:
        """Padding for an even kernel, the convolution, batch norm, ReLU."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        before, after = (self.kernel - 1) // 2, self.kernel // 2
        modules: list[nn.Module] = []
        if before != after:
            # Even kernels: nn.Conv2d pads both sides alike, and its padding="same" warns that it copies.
            modules.append(nn.ZeroPad2d((before, after, before, after)))
        (channels, _, _), padding = only(self, shapes), 0 if modules else before
        modules.append(convolution(channels, self.output_channels, self.kernel, self.stride, padding))
        return nn.Sequential(*modules, nn.BatchNorm2d(self.output_channels), nn.ReLU(inplace=True))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        before, after = (self.kernel - 1) // 2, self.kernel // 2
        even = before != after
        modules = [f"nn.ZeroPad2d(({before}, {after}, {before}, {after}))"] if even else []
        modules += [
            f"{convolution_class(self.kernel, self.stride)}({only(self, shapes)[0]}, {self.output_channels}, "
            f"{self.kernel}, {self.stride}, {0 if even else before}, bias=False)",
            f"nn.BatchNorm2d({self.output_channels})",
            "nn.ReLU()",
        ]
        return f"nn.Sequential({', '.join(modules)})"
