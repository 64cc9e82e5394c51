"""Pooling and batch norm without numbers to train, as DARTS searches with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from replaytree.records import Shape
from replaytree.space.layers.layer import legal_output, norm_source
from replaytree.space.layers.operation import Operation, in_turn
from replaytree.space.layers.pooling import Pooling, PoolingKind

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class NormedPooling:
    """A Pooling, then batch norm that is not affine."""

    kind: PoolingKind
    kernel: int
    stride: int

    definitions: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        Pooling(self.kind, self.kernel, self.stride)

    @property
    def pooling(self) -> Pooling:
        """Without the batch norm."""
        return Pooling(self.kind, self.kernel, self.stride)

    @property
    def label(self) -> str:
        """As in 'avg3s1norm'."""
        return f"{self.pooling.label}norm"

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return self.pooling.output_shape(*shapes)

    def why_illegal(self, *shapes: Shape) -> str:
        """A side is below the stride, or below the kernel."""
        return self.pooling.why_illegal(*shapes)

    def params(self, *shapes: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, *shapes: Shape) -> int:
        """No multiply-adds are counted: 0; SpaceError where the layer is illegal."""
        return self.pooling.flops(*shapes)

    def activations(self, *shapes: Shape) -> int:
        """What the pooling keeps, and the output."""
        return self.pooling.activations(*shapes) + math.prod(legal_output(self, *shapes))

    def operations(self, *shapes: Shape) -> tuple[Operation, ...]:
        """The pooling, and batch norm."""
        shape = legal_output(self, *shapes)
        return in_turn(Operation(math.prod(shape)), Operation(math.prod(shape), shape[0], shape[0], in_place=True))

    def module(self, *shapes: Shape) -> nn.Module:
        """The pooling and batch norm."""
        from torch import nn

        return nn.Sequential(self.pooling.module(*shapes), nn.BatchNorm2d(legal_output(self, *shapes)[0], affine=False))

    def source(self, *shapes: Shape) -> str:
        """As `module`."""
        norm = norm_source(legal_output(self, *shapes)[0], affine=False)
        return f"nn.Sequential({self.pooling.source(*shapes)}, {norm})"
