"""A convolution and batch norm, with ReLU where it is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, only, require_odd, require_whole

if TYPE_CHECKING:
    from torch import nn

Relu = Literal["before", "after", "both", "none"]


@dataclass(frozen=True, slots=True)
class NormedConvolution:
    """A convolution without bias, then batch norm; ReLU `before` the convolution, `after` the norm, `both` or `none`.

    A `separable` one is a convolution of each channel by itself and then a 1x1 convolution, with nothing between them.
    The kernel is odd, and zero padding keeps the sides.
    """

    channels: int
    kernel: int
    separable: bool = False
    relu: Relu = "after"

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_whole("channels of a NormedConvolution", self.channels, least=1)
        require_odd("kernel of a NormedConvolution", self.kernel, least=1)
        if not isinstance(self.separable, bool):
            raise SpaceError(f"separable of a NormedConvolution is {self.separable!r}; it must be True or False")
        if self.relu not in get_args(Relu):
            raise SpaceError(f"relu of a NormedConvolution is {self.relu!r}; it must be {', '.join(get_args(Relu))}")

    @property
    def label(self) -> str:
        """As in 'conv36k3' and 'sep36k5'."""
        return f"{'sep' if self.separable else 'conv'}{self.channels}k{self.kernel}"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The same sides."""
        _, height, width = only(self, shapes)
        return self.channels, height, width

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "a convolution that keeps the sides is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm."""
        return self._weights(only(self, shapes)[0]) + 2 * self.channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        channels, height, width = only(self, shapes)
        return self._weights(channels) * height * width

    def activations(self, *shapes: Shape) -> int:
        """The output before and after batch norm; the input's ReLU; what lies between the two convolutions."""
        copies = (self.relu in ("before", "both")) + self.separable
        return 2 * math.prod(legal_output(self, *shapes)) + copies * math.prod(only(self, shapes))

    def module(self, *shapes: Shape) -> nn.Module:
        """ReLU, one or two convolutions, batch norm, ReLU."""
        from torch import nn

        from replaytree.space.layers.modules.convolution import convolution

        modules: list[nn.Module] = [nn.ReLU()] if self.relu in ("before", "both") else []
        modules += [
            convolution(inputs, channels, kernel, padding=kernel // 2, groups=groups)
            for inputs, channels, kernel, groups in self._convolutions(only(self, shapes)[0])
        ]
        modules.append(nn.BatchNorm2d(self.channels))
        modules += [nn.ReLU(inplace=True)] if self.relu in ("after", "both") else []
        return nn.Sequential(*modules)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        modules = ["nn.ReLU()"] if self.relu in ("before", "both") else []
        for inputs, channels, kernel, groups in self._convolutions(only(self, shapes)[0]):
            grouped = f", groups={groups}" if groups > 1 else ""
            modules.append(f"nn.Conv2d({inputs}, {channels}, {kernel}, padding={kernel // 2}{grouped}, bias=False)")
        modules.append(f"nn.BatchNorm2d({self.channels})")
        modules += ["nn.ReLU()"] if self.relu in ("after", "both") else []
        return f"nn.Sequential({', '.join(modules)})"

    def _convolutions(self, inputs: int) -> tuple[tuple[int, int, int, int], ...]:
        """(inputs, channels, kernel, groups) of each."""
        if self.separable:
            return (inputs, inputs, self.kernel, inputs), (inputs, self.channels, 1, 1)
        return ((inputs, self.channels, self.kernel, 1),)

    def _weights(self, inputs: int) -> int:
        return sum(
            read // groups * channels * kernel**2 for read, channels, kernel, groups in self._convolutions(inputs)
        )
