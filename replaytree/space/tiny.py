"""Small layers for small devices."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.chain_plan import ChainPlan
from replaytree.space.coding import Values, named
from replaytree.space.graph import Graph
from replaytree.space.layers import (
    Convolution,
    InvertedResidual,
    Layer,
    Pooling,
    PoolingKind,
    SeparableConvolution,
    ShapedConvolution,
)
from replaytree.space.plan import Published

# A layer of a kind, from its channels, its stride and the factor on channels.
_CONVOLUTIONS: dict[str, Callable[[int, int, float], Layer]] = {
    "separable3": lambda channels, stride, width: SeparableConvolution(channels, 3, stride, width),
    "separable5": lambda channels, stride, width: SeparableConvolution(channels, 5, stride, width),
    "inverted2": lambda channels, stride, width: InvertedResidual(channels, 2, stride, width=width),
    "inverted4": lambda channels, stride, width: InvertedResidual(channels, 4, stride, width=width),
    "inverted6": lambda channels, stride, width: InvertedResidual(channels, 6, stride, width=width),
    "dilated3": lambda channels, stride, width: ShapedConvolution(channels, 3, 3, stride, 2, width),
    "conv3": lambda channels, stride, width: Convolution(channels, 3, stride, width),
    "conv1x3": lambda channels, stride, width: ShapedConvolution(channels, 1, 3, stride, width=width),
    "conv3x1": lambda channels, stride, width: ShapedConvolution(channels, 3, 1, stride, width=width),
    "conv1x5": lambda channels, stride, width: ShapedConvolution(channels, 1, 5, stride, width=width),
    "conv5x1": lambda channels, stride, width: ShapedConvolution(channels, 5, 1, stride, width=width),
}
_POOLS: dict[str, PoolingKind] = {"avg3": "avg", "max3": "max"}

# What pooling does to the number of channels.
_SAME = "same"
_DECISIONS = (
    Decision("kind", (*_CONVOLUTIONS, *_POOLS)),
    Decision("channels", (_SAME, "8", "16", "24", "32", "48", "64")),
    Decision("stride", ("1", "2")),
)


class Tiny:
    """A Plan (plan.py) for networks of under 100k parameters and 10M FLOPs: `max_params` and `max_flops` say so.

    A layer is three decisions. `kind` is a depthwise-separable convolution of 3x3 or 5x5; an inverted residual block of
    expansion 2, 4 or 6; a 3x3 convolution, dilated to 5x5 or plain; a convolution of 1x3, 3x1, 1x5 or 5x1; or average
    or maximum pooling of 3x3. `channels` is scaled by the option `width`; `stride` is that of both sides.

    Pooling leaves the number of channels as it is, so 'same' is the only option for it, and for nothing else: no layer
    has two names. Stride 2 is illegal where a side of the map has one pixel.
    """

    name = "tiny"
    about = (
        "Depthwise-separable, inverted residual, dilated and one-sided convolutions and pooling, for networks "
        "of under 100k parameters and 10M FLOPs (--max-params 100k --max-flops 10M)."
    )
    source = "layers of MobileNet (arXiv 1704.04861), MobileNetV2 (1801.04381) and DS-CNN (1711.07128)"
    nested = True
    # The layers are small as they are.
    cpu_width = 1.0
    defaults: ClassVar[Mapping[str, Any]] = {"width": 1.0}
    published: ClassVar[Mapping[str, Published]] = {}

    def __init__(self, *, input_shape: Shape, num_classes: int, max_layers: int, width: float = 1.0) -> None:
        self.width = width
        self._chain = ChainPlan(
            _DECISIONS,
            self._layer,
            input_shape=input_shape,
            num_classes=num_classes,
            max_layers=max_layers,
            name=self.name,
        )
        self.input_shape = self._chain.input_shape
        self.num_classes = num_classes
        self.max_layers = max_layers

    def options(self) -> dict[str, Any]:
        """The factor on channels."""
        return {"width": self.width}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """Kind, channels, stride, at every depth."""
        return _DECISIONS

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """See above."""
        return self._chain.legal(prefix, chosen)

    def state(self, prefix: Path) -> Shape:
        """The feature map: it decides what may follow."""
        return self._chain.state(prefix)

    def why(self, prefix: Path, chosen: Values, option: int) -> str:
        """In words, for the option of a legal kind."""
        if len(chosen) == 1:
            pools = _DECISIONS[0].options[chosen[0]] in _POOLS
            return "pooling has no channels of its own" if pools else "'same' is for pooling"
        return "a side of the map has one pixel"

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'separable3-16', 'inverted4-24-s2' and 'max3-s2'."""
        kind, channels, stride = map(str, named(_DECISIONS, values).values())
        return kind + ("" if channels == _SAME else f"-{channels}") + ("" if stride == "1" else f"-s{stride}")

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        found = re.fullmatch(r"(\w+?)(?:-(\d+))?(?:-s(\d+))?", label)
        options = () if found is None else (found[1], found[2] or _SAME, found[3] or "1")
        values = tuple(
            decision.options.index(option)
            for option, decision in zip(options, _DECISIONS, strict=False)
            if option in decision.options
        )
        if len(values) < len(_DECISIONS) or self.label(prefix, values) != label:
            raise SpaceError(
                f"layer {len(prefix) + 1} is {label!r}, which is not in this space; write it as in 'separable3-16', "
                f"'inverted4-24-s2' or 'max3-s2'"
            )
        return values

    def network(self, path: Path) -> Graph:
        """The layers in turn, then global average pooling and a linear layer."""
        return self._chain.network(path)

    def layer_of(self, values: Values) -> Layer | None:
        """The layer that some values make; None where they do not go together."""
        return self._chain.layer_of(values)

    def _layer(self, options: Mapping[str, str]) -> Layer | None:
        kind, channels, stride = options["kind"], options["channels"], int(options["stride"])
        if (kind in _POOLS) != (channels == _SAME):
            return None
        if kind in _POOLS:
            return Pooling(_POOLS[kind], 3, stride)
        return _CONVOLUTIONS[kind](int(channels), stride, self.width)
