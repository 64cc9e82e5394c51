"""Separable convolutions one behind the other, as cells have them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import (
    legal_output,
    norm_source,
    only,
    require_odd,
    require_switch,
    require_whole,
    stride_suffix,
    strided_shape,
    why_stride_illegal,
)
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class StackedSeparable:
    """`stacks` times: ReLU, a convolution of each channel by itself, one of 1x1 to `channels`, batch norm.

    The stride stands in the first. The kernel is odd and its pixels are `dilation` apart; zero padding makes each side
    ceil(side / stride). Illegal where a side is below the stride. Without `affine` the batch norms have no numbers to
    train. NASNet, ENAS and DARTS have two stacks, and DARTS one where it is dilated.
    """

    channels: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    stacks: int = 2
    affine: bool = True

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in ("channels", "stride", "dilation", "stacks"):
            require_whole(f"{name} of a StackedSeparable", getattr(self, name), least=1)
        require_odd("kernel of a StackedSeparable", self.kernel, least=3)
        require_switch("affine of a StackedSeparable", self.affine)

    @property
    def label(self) -> str:
        """As in 'sep36k3x2', 'sep36k3s2x2' and 'dil36k5'."""
        word = "dil" if self.dilation > 1 else "sep"
        times = f"x{self.stacks}" if self.stacks > 1 else ""
        return f"{word}{self.channels}k{self.kernel}{stride_suffix(self.stride)}{times}"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for each batch norm if it is affine."""
        return self._weights(only(self, shapes)[0]) + 2 * self.channels * self.stacks * self.affine

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        _, height, width = legal_output(self, *shapes)
        return self._weights(only(self, shapes)[0]) * height * width

    def activations(self, *shapes: Shape) -> int:
        """Of each stack: what ReLU gives, what lies between the convolutions, and what batch norm reads; the output."""
        channels, height, width = legal_output(self, *shapes)
        inputs, *sides = only(self, shapes)
        first = inputs * sides[0] * sides[1] + (inputs + channels) * height * width
        return first + (3 * (self.stacks - 1) + 1) * channels * height * width

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU before the first stack; of each stack two convolutions, the second with batch norm folded in."""
        _, height, width = legal_output(self, *shapes)
        found = [Operation(math.prod(only(self, shapes)), in_place=True)]
        for read, _ in self._stacks(only(self, shapes)[0]):
            found.append(Operation(read * height * width, read * self.kernel**2))
            found.append(Operation(self.channels * height * width, read * self.channels, self.channels))
        return in_turn(*found)

    def module(self, *shapes: Shape) -> nn.Module:
        """ReLU, two convolutions and batch norm, `stacks` times."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        modules: list[nn.Module] = []
        for inputs, stride in self._stacks(only(self, shapes)[0]):
            modules += [
                # The first one's input is read by others, too.
                nn.ReLU(inplace=bool(modules)),
                convolution(inputs, inputs, self.kernel, stride, self._padding, groups=inputs, dilation=self.dilation),
                convolution(inputs, self.channels, 1),
                nn.BatchNorm2d(self.channels, affine=self.affine),
            ]
        return nn.Sequential(*modules)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        dilation = f"dilation={self.dilation}, " if self.dilation > 1 else ""
        modules: list[str] = []
        for inputs, stride in self._stacks(only(self, shapes)[0]):
            modules += [
                "nn.ReLU()",
                f"nn.Conv2d({inputs}, {inputs}, {self.kernel}, {stride}, {self._padding}, {dilation}groups={inputs}, "
                f"bias=False)",
                f"nn.Conv2d({inputs}, {self.channels}, 1, bias=False)",
                norm_source(self.channels, affine=self.affine),
            ]
        return f"nn.Sequential({', '.join(modules)})"

    @property
    def _padding(self) -> int:
        return self.kernel // 2 * self.dilation

    def _stacks(self, inputs: int) -> Iterator[tuple[int, int]]:
        """(inputs, stride) of each stack."""
        for place in range(self.stacks):
            yield (self.channels, 1) if place else (inputs, self.stride)

    def _weights(self, inputs: int) -> int:
        return sum(read * (self.kernel**2 + self.channels) for read, _ in self._stacks(inputs))
