"""A fully connected layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import only, require_channels, require_whole
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class FullyConnected:
    """A linear layer with bias on every value of a feature map, and ReLU.

    Its output is a feature map of one pixel, (units, 1, 1), so any layer can read it. `units` is the nominal number,
    the one in the label; `width` scales it to `output_units`.
    """

    units: int
    width: float = 1.0

    definitions: ClassVar[tuple[str, ...]] = ()
    normed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_whole("units of a FullyConnected", self.units, least=1)
        require_channels(self.units, self.width)

    @property
    def label(self) -> str:
        """As in 'fc256'."""
        return f"fc{self.units}"

    @property
    def output_units(self) -> int:
        """units x width, rounded."""
        return round(self.units * self.width)

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """(units, 1, 1)."""
        only(self, shapes)
        return self.output_units, 1, 1

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "a fully connected layer is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """Weights, and a bias a unit."""
        return (self._inputs(shapes) + 1) * self.output_units

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        return self._inputs(shapes) * self.output_units

    def activations(self, *shapes: Shape) -> int:
        """The ReLU's output, which overwrites the linear layer's; the flattened copy of a map, as of an ending."""
        channels, height, width = only(self, shapes)
        return self.output_units + (self._inputs(shapes) if min(channels, height * width) > 1 else 0)

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The linear layer."""
        return (Operation(self.output_units, self._inputs(shapes) * self.output_units, self.output_units),)

    def module(self, *shapes: Shape) -> nn.Module:
        """Flattening, the linear layer from He's normal distribution and biases of 0, ReLU, one pixel."""
        from torch import nn

        linear = nn.Linear(self._inputs(shapes), self.output_units)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        return nn.Sequential(nn.Flatten(), linear, nn.ReLU(inplace=True), nn.Unflatten(1, (self.output_units, 1, 1)))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        linear = f"nn.Linear({self._inputs(shapes)}, {self.output_units})"
        return f"nn.Sequential(nn.Flatten(), {linear}, nn.ReLU(), nn.Unflatten(1, ({self.output_units}, 1, 1)))"

    def _inputs(self, shapes: tuple[Shape, ...]) -> int:
        return math.prod(only(self, shapes))
