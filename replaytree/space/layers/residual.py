"""The residual block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

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
from replaytree.space.layers.operation import INPUT, Operation, in_turn
from replaytree.space.layers.subsampled import SUBSAMPLED

if TYPE_CHECKING:
    from torch import nn

_RESIDUAL = '''
class Residual(nn.Module):
    """relu(branch(x) + shortcut(x))."""

    def __init__(self, inputs, channels, stride, projects):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = nn.Identity()
        if projects:
            pointwise = Subsampled if stride > 1 else nn.Conv2d
            self.shortcut = nn.Sequential(pointwise(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return torch.relu(self.branch(x) + self.shortcut(x))

'''


@dataclass(frozen=True, slots=True)
class ResidualBlock:
    """Two 3x3 convolutions with batch norm, added to their input, ReLU after each.

    The first convolution has the stride. Where channels or sides change, the input passes a 1x1 convolution with
    batch norm. Sides become ceil(side / stride); illegal where a side is below the stride.
    """

    channels: int
    stride: int = 1
    width: float = 1.0

    definitions: ClassVar[tuple[str, ...]] = (SUBSAMPLED, _RESIDUAL)

    def __post_init__(self) -> None:
        for name in ("channels", "stride"):
            require_whole(f"{name} of a ResidualBlock", getattr(self, name), least=1)
        require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'res64' and 'res64s2'."""
        return f"res{self.channels}{stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    def projects(self, input_channels: int) -> bool:
        """Whether the input needs the 1x1 convolution."""
        return self.stride != 1 or input_channels != self.output_channels

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the block; None where it is illegal."""
        return strided_shape(only(self, shapes), self.output_channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights of the two or three convolutions, and their batch norms."""
        channels = only(self, shapes)[0]
        return self._weights(channels) + (3 if self.projects(channels) else 2) * 2 * self.output_channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the block is illegal."""
        _, height, width = legal_output(self, *shapes)
        return self._weights(only(self, shapes)[0]) * height * width

    def activations(self, *shapes: Shape) -> int:
        """The outputs of the two or three convolutions and of the two ReLUs."""
        return (5 if self.projects(only(self, shapes)[0]) else 4) * math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The branch's two convolutions, that of the shortcut, and the addition."""
        channels, after = only(self, shapes)[0], self.output_channels
        size = math.prod(legal_output(self, *shapes))
        branch = in_turn(Operation(size, 9 * channels * after, after), Operation(size, 9 * after * after, after))
        if not self.projects(channels):
            return (*branch, Operation(size, reads=(1, INPUT), in_place=True))
        return (*branch, Operation(size, channels * after, after), Operation(size, reads=(1, 2), in_place=True))

    def module(self, *shapes: Shape) -> nn.Module:
        """relu(branch(x) + shortcut(x))."""
        from replaytree.space.layers.modules.residual import ResidualModule

        channels = only(self, shapes)[0]
        return ResidualModule(channels, self.output_channels, stride=self.stride, projects=self.projects(channels))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        channels = only(self, shapes)[0]
        projects = self.projects(channels)
        return f"Residual({channels}, {self.output_channels}, stride={self.stride}, projects={projects})"

    def _weights(self, input_channels: int) -> int:
        taps = 9 * (input_channels + self.output_channels) + (input_channels if self.projects(input_channels) else 0)
        return taps * self.output_channels
