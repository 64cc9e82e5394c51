"""A convolution and batch norm, with ReLU where it is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from replaytree.errors import SpaceError
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
from replaytree.space.layers.subsampled import SUBSAMPLED, convolution_class

if TYPE_CHECKING:
    from torch import nn

Relu = Literal["before", "after", "both", "none"]


@dataclass(frozen=True, slots=True)
class NormedConvolution:
    """A convolution without bias, then batch norm; ReLU `before` the convolution, `after` the norm, `both` or `none`.

    A `separable` one is a convolution of each channel by itself and then a 1x1 convolution, with nothing between them.
    The kernel is odd, and zero padding makes each side ceil(side / stride); illegal where a side is below the stride.
    Without `affine` the batch norm has no numbers to train.
    """

    channels: int
    kernel: int
    separable: bool = False
    relu: Relu = "after"
    stride: int = 1
    affine: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "stride"):
            require_whole(f"{name} of a NormedConvolution", getattr(self, name), least=1)
        require_odd("kernel of a NormedConvolution", self.kernel, least=1)
        for name in ("separable", "affine"):
            require_switch(f"{name} of a NormedConvolution", getattr(self, name))
        if self.relu not in get_args(Relu):
            raise SpaceError(f"relu of a NormedConvolution is {self.relu!r}; it must be {', '.join(get_args(Relu))}")

    @property
    def label(self) -> str:
        """As in 'conv36k3', 'conv36k1s2' and 'sep36k5'."""
        return f"{'sep' if self.separable else 'conv'}{self.channels}k{self.kernel}{stride_suffix(self.stride)}"

    @property
    def definitions(self) -> tuple[str, ...]:
        """Subsampled, for a kernel of 1x1 with a stride."""
        return (SUBSAMPLED,) if self._class == "Subsampled" else ()

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return strided_shape(only(self, shapes), self.channels, self.stride)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride."""
        return why_stride_illegal(only(self, shapes), self.stride)

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm if it is affine."""
        return self._weights(only(self, shapes)[0]) + 2 * self.channels * self.affine

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        _, height, width = legal_output(self, *shapes)
        return self._weights(only(self, shapes)[0]) * height * width

    def activations(self, *shapes: Shape) -> int:
        """The output before and after batch norm; the input's ReLU; what lies between the two convolutions."""
        channels, height, width = legal_output(self, *shapes)
        between = only(self, shapes)[0] * height * width if self.separable else 0
        rectified = math.prod(only(self, shapes)) if self.relu in ("before", "both") else 0
        return 2 * channels * height * width + between + rectified

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """ReLU before it; one or two convolutions, the last with batch norm folded into it."""
        _, height, width = legal_output(self, *shapes)
        found = [Operation(math.prod(only(self, shapes)), in_place=True)] if self.relu in ("before", "both") else []
        for read, channels, kernel, _, groups in self._convolutions(only(self, shapes)[0]):
            found.append(Operation(channels * height * width, read // groups * channels * kernel**2))
        found[-1] = replace(found[-1], biases=self.channels)
        return in_turn(*found)

    def module(self, *shapes: Shape) -> nn.Module:
        """ReLU, one or two convolutions, batch norm, ReLU."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        modules: list[nn.Module] = [nn.ReLU()] if self.relu in ("before", "both") else []
        modules += [
            convolution(inputs, channels, kernel, stride, kernel // 2, groups=groups)
            for inputs, channels, kernel, stride, groups in self._convolutions(only(self, shapes)[0])
        ]
        modules.append(nn.BatchNorm2d(self.channels, affine=self.affine))
        modules += [nn.ReLU(inplace=True)] if self.relu in ("after", "both") else []
        return nn.Sequential(*modules)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        modules = ["nn.ReLU()"] if self.relu in ("before", "both") else []
        for inputs, channels, kernel, stride, groups in self._convolutions(only(self, shapes)[0]):
            grouped = f", groups={groups}" if groups > 1 else ""
            modules.append(
                f"{convolution_class((kernel, kernel), stride)}({inputs}, {channels}, {kernel}, {stride}, "
                f"{kernel // 2}{grouped}, bias=False)"
            )
        modules.append(norm_source(self.channels, affine=self.affine))
        modules += ["nn.ReLU()"] if self.relu in ("after", "both") else []
        return f"nn.Sequential({', '.join(modules)})"

    @property
    def _class(self) -> str:
        return convolution_class((self.kernel, self.kernel), self.stride)

    def _convolutions(self, inputs: int) -> tuple[tuple[int, int, int, int, int], ...]:
        """(inputs, channels, kernel, stride, groups) of each."""
        if self.separable:
            return (inputs, inputs, self.kernel, self.stride, inputs), (inputs, self.channels, 1, 1, 1)
        return ((inputs, self.channels, self.kernel, self.stride, 1),)

    def _weights(self, inputs: int) -> int:
        return sum(
            read // groups * channels * kernel**2 for read, channels, kernel, _, groups in self._convolutions(inputs)
        )
