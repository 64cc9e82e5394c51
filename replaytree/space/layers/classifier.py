"""The classifier head of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import only, require_switch, require_whole
from replaytree.space.layers.operation import Operation, in_turn

if TYPE_CHECKING:
    from torch import nn

Pool = Literal["average", "flatten"]


@dataclass(frozen=True, slots=True)
class Classifier:
    """A linear layer, (images, channels, height, width) -> (images, num_classes).

    It reads the average of each channel (global average pooling), or with `pool` 'flatten' every value.
    """

    num_classes: int
    pool: Pool = "average"
    bias: bool = True

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        require_whole("num_classes of a Classifier", self.num_classes, least=1)
        if self.pool not in get_args(Pool):
            raise SpaceError(f"pool of a Classifier is {self.pool!r}; it must be 'average' or 'flatten'")
        require_switch("bias of a Classifier", self.bias)

    @property
    def label(self) -> str:
        """'head'."""
        return "head"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The logits, as (num_classes, 1, 1)."""
        only(self, shapes)
        return self.num_classes, 1, 1

    def why_illegal(self, *shapes: Shape) -> str:
        """It is legal everywhere."""
        return "a head is legal everywhere"

    def params(self, *shapes: Shape) -> int:
        """Weights, and with `bias` one a class."""
        return (self._inputs(shapes) + self.bias) * self.num_classes

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        return self._inputs(shapes) * self.num_classes

    def activations(self, *shapes: Shape) -> int:
        """What the linear layer reads."""
        return self._inputs(shapes)

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The averages, unless all values are read; the linear layer."""
        read = self._inputs(shapes)
        linear = Operation(self.num_classes, read * self.num_classes, self.num_classes * self.bias)
        return in_turn(*([Operation(read)] if self.pool == "average" else []), linear)

    def module(self, *shapes: Shape) -> nn.Module:
        """`pool`, unless it is flattened, then `flatten` and `linear`."""
        from collections import OrderedDict

        from torch import nn

        modules: OrderedDict[str, nn.Module] = OrderedDict()
        if self.pool == "average":
            modules["pool"] = nn.AdaptiveAvgPool2d(1)
        modules["flatten"] = nn.Flatten()
        modules["linear"] = nn.Linear(self._inputs(shapes), self.num_classes, bias=self.bias)
        return nn.Sequential(modules)

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        pool = "pool=nn.AdaptiveAvgPool2d(1), " if self.pool == "average" else ""
        bias = "" if self.bias else ", bias=False"
        linear = f"nn.Linear({self._inputs(shapes)}, {self.num_classes}{bias})"
        return f"nn.Sequential(OrderedDict({pool}flatten=nn.Flatten(), linear={linear}))"

    def _inputs(self, shapes: tuple[Shape, ...]) -> int:
        shape = only(self, shapes)
        return shape[0] if self.pool == "average" else math.prod(shape)
