"""Convolution with bias, ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, only, require_channels, require_odd, require_whole
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class BiasedConvolution:
    """Convolution with bias and ReLU, without batch norm. Stride 1; zero padding keeps the sides. Kernels are odd.

    `channels` is the nominal number, the one in the label; `width` scales it to `output_channels`.
    """

    channels: int
    kernel: int
    width: float = 1.0

    definitions: ClassVar[tuple[str, ...]] = ()
    normed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_whole("channels of a BiasedConvolution", self.channels, least=1)
        require_odd("kernel of a BiasedConvolution", self.kernel, least=1)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'conv64k3'."""
        return f"conv{self.channels}k{self.kernel}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The same sides; None where the kernel is larger than the map."""
        _, height, width = only(self, shapes)
        return (self.output_channels, height, width) if min(height, width) >= self.kernel else None

    def why_illegal(self, *shapes: Shape) -> str:
        """The kernel is larger than the map."""
        _, height, width = only(self, shapes)
        return f"a kernel of {self.kernel} needs sides of at least that, and the map is {height}x{width}"

    def params(self, *shapes: Shape) -> int:
        """Weights, and a bias a channel."""
        return (only(self, shapes)[0] * self.kernel**2 + 1) * self.output_channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        channels, height, width = legal_output(self, *shapes)
        return only(self, shapes)[0] * channels * self.kernel**2 * height * width

    def activations(self, *shapes: Shape) -> int:
        """The ReLU's output, which overwrites the convolution's."""
        return math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The convolution."""
        channels = self.output_channels
        return (Operation(math.prod(legal_output(self, *shapes)), self.params(*shapes) - channels, channels),)

    def module(self, *shapes: Shape) -> nn.Module:
        """The convolution, from He's normal distribution (fan in) and biases of 0, and ReLU."""
        from torch import nn

        convolution = nn.Conv2d(only(self, shapes)[0], self.output_channels, self.kernel, padding=self.kernel // 2)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        return nn.Sequential(convolution, nn.ReLU(inplace=True))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        inputs = only(self, shapes)[0]
        convolution = f"nn.Conv2d({inputs}, {self.output_channels}, {self.kernel}, padding={self.kernel // 2})"
        return f"nn.Sequential({convolution}, nn.ReLU())"
