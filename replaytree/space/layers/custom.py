"""A user's own kind of layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.layer import format_shape, legal_output, only, require_label
from replaytree.space.returned import called, require_cost, require_shape

if TYPE_CHECKING:
    from torch import nn


class CustomLayer:
    """A user's own kind of layer.

    `builder(input_shape)` returns the nn.Module. The module must not change its input, because a classifier head also
    reads it. `output_shape(input_shape)` returns the shape after the layer, or None where the layer is illegal;
    `cost(input_shape)` returns (parameters, multiply-adds for one image). A function that is not given is replaced by
    one run of the module on torch's meta device for each input shape. Such a layer counts as legal everywhere, and
    SpaceError is raised where the run fails.

    `capturable` says that the module never waits for the device (no .item(), no branch on values, no tensor made from
    numbers), so that on a GPU its training steps may be captured in a CUDA graph, which takes a fraction of the time.
    """

    definitions: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        label: str,
        builder: Callable[[Shape], nn.Module],
        output_shape: Callable[[Shape], Shape | None] | None = None,
        cost: Callable[[Shape], tuple[int, int]] | None = None,
        *,
        capturable: bool = False,
    ) -> None:
        require_label(label)
        self.label = label
        self.builder = builder
        self._output_shape = output_shape
        self._cost = cost
        self.capturable = capturable
        self._measured: dict[Shape, tuple[Shape, int, int]] = {}

    def __repr__(self) -> str:
        return f"CustomLayer({self.label!r})"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        shape = only(self, shapes)
        if self._output_shape is None:
            return self._measure(shape)[0]
        asked = f"the output shape of layer {self.label!r}"
        after = called(asked, self._output_shape, shape)
        return None if after is None else require_shape(asked, after)

    def why_illegal(self, *shapes: Shape) -> str:
        """Its maker says so."""
        return f"its output_shape is None where the feature map is {format_shape(only(self, shapes))}"

    def params(self, *shapes: Shape) -> int:
        """Numbers to train."""
        return self._costs(only(self, shapes))[0]

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image."""
        return self._costs(only(self, shapes))[1]

    def activations(self, *shapes: Shape) -> int:
        """A guess, because only the module knows: as many as a residual block of this input and output keeps."""
        return 4 * math.prod(legal_output(self, *shapes)) + math.prod(only(self, shapes))

    def operations(self, *shapes: Shape) -> None:
        """Unknown: only the module knows what it does within."""
        return

    def module(self, *shapes: Shape) -> nn.Module:
        """What the builder returns; SpaceError where that is no module. It is given contiguous tensors."""
        from torch import nn

        module = self.builder(only(self, shapes))
        if not isinstance(module, nn.Module):
            raise SpaceError(f"the builder of layer {self.label!r} returned {module!r}; it must be an nn.Module")
        if self.capturable or not hasattr(module, "capturable"):
            setattr(module, "capturable", self.capturable)  # noqa: B010 (mypy takes it for a tensor or a module)
        # Trainings run in channels_last, in which a user's x.view(...) would raise.
        module.register_forward_pre_hook(lambda _, inputs: tuple(features.contiguous() for features in inputs))
        return module

    def source(self, *shapes: Shape) -> str:
        """Raises SpaceError: what the builder does is unknown."""
        raise SpaceError(f"layer {self.label!r} is one of your own; its code cannot be written out")

    def _costs(self, shape: Shape) -> tuple[int, int]:
        if self._cost is None:
            return self._measure(shape)[1:]
        asked = f"the cost of layer {self.label!r}"
        return require_cost(asked, called(asked, self._cost, shape))

    def _measure(self, shape: Shape) -> tuple[Shape, int, int]:
        if shape not in self._measured:
            from replaytree.space.layers.modules.measured import measure

            self._measured[shape] = measure(self, shape)
        return self._measured[shape]
