"""Convolution with bias, ReLU, maximum pooling, dropout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import only, require_whole
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class PooledConvolution:
    """Convolution with bias, ReLU, maximum pooling, dropout. All strides are 1, and the sides stay as they are.

    Kernel and pool are squares; with `one_dimensional` they are one pixel wide, for maps of one column. An even window
    reaches one pixel more to the right and below. `dropout` is the rate of numbers that become 0 in training. A pool of
    1 is no pooling.
    """

    channels: int
    kernel: int
    pool: int = 1
    dropout: float = 0.0
    one_dimensional: bool = False

    definitions: ClassVar[tuple[str, ...]] = ()
    normed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "pool"):
            require_whole(f"{name} of a PooledConvolution", getattr(self, name), least=1)
        rate = self.dropout
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise SpaceError(
                f"dropout of a PooledConvolution is {rate!r}; it is the rate of numbers that become 0, at least 0 and "
                f"below 1"
            )
        if not isinstance(self.one_dimensional, bool):
            raise SpaceError(f"one_dimensional of a PooledConvolution is {self.one_dimensional!r}; it must be a bool")

    @property
    def label(self) -> str:
        """As in 'conv24k61p60d0.5'."""
        pool = f"p{self.pool}" if self.pool > 1 else ""
        return f"conv{self.channels}k{self.kernel}{pool}" + (f"d{self.dropout:g}" if self.dropout else "")

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The same sides."""
        _, height, width = only(self, shapes)
        return self.channels, height, width

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "it is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """Weights, and a bias a channel."""
        return (only(self, shapes)[0] * math.prod(self._window(self.kernel)) + 1) * self.channels

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        channels, height, width = only(self, shapes)
        return channels * self.channels * math.prod(self._window(self.kernel)) * height * width

    def activations(self, *shapes: Shape) -> int:
        """The ReLU's output, the pooling's index of 64 bits a value, the dropout's mask, the output.

        Before an even window also the padded map.
        """
        channels, height, width = only(self, shapes)
        pools, drops = self.pool > 1, self.dropout > 0
        kept = 1 + (2 if pools else 0) + (1 if drops else 0) + (1 if pools or drops else 0)
        padded = sum(
            maps * (height + rows - 1) * (width + columns - 1)
            for maps, (rows, columns) in (
                (channels, self._window(self.kernel)),
                (self.channels, self._window(self.pool)),
            )
            if _pad((rows, columns))
        )
        return kept * self.channels * height * width + padded

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The convolution, and the pooling."""
        _, height, width = only(self, shapes)
        size = self.channels * height * width
        convolution = Operation(size, self.params(*shapes) - self.channels, self.channels)
        return in_turn(convolution, *([Operation(size)] if self.pool > 1 else []))

    def module(self, *shapes: Shape) -> nn.Module:
        """Convolution, ReLU, pooling, dropout, and padding before even windows. Xavier's initialisation."""
        from torch import nn

        kernel, pool = self._window(self.kernel), self._window(self.pool)
        convolution = nn.Conv2d(only(self, shapes)[0], self.channels, kernel, padding=_padding(kernel))
        nn.init.xavier_uniform_(convolution.weight)
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
        # Zeros around a pooling are as good as -inf: behind a ReLU no number is below.
        pads = [[nn.ZeroPad2d(pad)] if (pad := _pad(window)) else [] for window in (kernel, pool)]
        modules: list[nn.Module] = [*pads[0], convolution, nn.ReLU(inplace=True)]
        if self.pool > 1:
            modules += [*pads[1], nn.MaxPool2d(pool, 1, _padding(pool))]
        if self.dropout:
            modules.append(nn.Dropout(self.dropout))
        return nn.Sequential(*modules)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        kernel, pool = self._window(self.kernel), self._window(self.pool)
        pads = [[f"nn.ZeroPad2d({pad})"] if (pad := _pad(window)) else [] for window in (kernel, pool)]
        channels = only(self, shapes)[0]
        modules = [*pads[0], f"nn.Conv2d({channels}, {self.channels}, {kernel}, padding={_padding(kernel)})"]
        modules.append("nn.ReLU()")
        if self.pool > 1:
            modules += [*pads[1], f"nn.MaxPool2d({pool}, 1, {_padding(pool)})"]
        if self.dropout:
            modules.append(f"nn.Dropout({self.dropout})")
        return f"nn.Sequential({', '.join(modules)})"

    def _window(self, side: int) -> tuple[int, int]:
        """(rows, columns)."""
        return side, 1 if self.one_dimensional else side


def _pad(window: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """(left, right, above, below) of an even window; an odd one pads for itself, both sides alike."""
    rows, columns = window
    if rows % 2 and columns % 2:
        return None
    return (columns - 1) // 2, columns // 2, (rows - 1) // 2, rows // 2


def _padding(window: tuple[int, int]) -> tuple[int, int]:
    """The padding that an odd window does for itself: rows, columns."""
    return (0, 0) if _pad(window) else (window[0] // 2, window[1] // 2)
