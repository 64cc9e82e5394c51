"""The space of MetaQNN (Baker, Gupta, Naik and Raskar, "Designing Neural Network Architectures using Reinforcement
Learning", ICLR 2017): convolutions, poolings and fully connected layers, and layers that end the path.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, get_args

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Shape
from replaytree.space.coding import Values
from replaytree.space.graph import Graph, chain
from replaytree.space.layers import (
    BiasedConvolution,
    Classifier,
    Ending,
    FullyConnected,
    Layer,
    UnpaddedPooling,
)
from replaytree.space.layers.ending import EndingKind
from replaytree.space.plan import Published
from replaytree.space.returned import require_shape

CHANNELS = (64, 128, 256, 512)
KERNELS = (1, 3, 5)
POOLINGS = ((5, 3), (3, 2), (2, 2))
UNITS = (512, 256, 128)
ENDINGS: tuple[EndingKind, ...] = get_args(EndingKind)
MOST_FULLY_CONNECTED = 2
# Sides of feature maps are told apart by these bins alone; a bin has the name of its least side.
BINS = (8, 4, 1)
MOST_CACHED = 65536


def _net(path: str, params: int, error: str, stated: str) -> Published:
    note = f"{error} % error on CIFAR-10; its authors count {stated} million parameters (a fit: at 28x28)"
    return Published(path, input_shape=(3, 28, 28), params=params, note=note)


class MetaQnn:
    """A Plan (plan.py): one decision a layer.

    * convolution `conv{64,128,256,512}k{1,3,5}`: where the kernel fits the map, not behind fully connected layers;
    * pooling `pool5s3`, `pool3s2`, `pool2s2`: behind a convolution, where the kernel fits every map of the bin;
    * fully connected `fc512`, `fc256`, `fc128`: where sides are at most 7, at most two in a row, never growing;
    * `softmax`, `gap` (not behind fully connected layers, where it would be the same): everywhere; they end the path.

    The head of every prefix reads all values. So an unfinished prefix is the same network as the prefix with `softmax`,
    also in a joint training; `gap` averages the channels first. Dropout is left out.
    """

    name = "metaqnn"
    about = "Chains of convolutions, pooling and fully connected layers that end themselves; no batch norm, no dropout."
    source = "Baker et al. (2017), arXiv 1611.02167"
    nested = True
    defaults: ClassVar[Mapping[str, Any]] = {"width": 1.0}
    published: ClassVar[Mapping[str, Published]] = {
        "top1": _net(
            "conv512k5 conv256k3 conv256k5 conv256k3 pool5s3 conv512k3 conv512k5 pool2s2 softmax",
            11_263_754, "6.92", "11.26",
        ),
        "top2": _net(
            "conv128k1 conv512k3 conv64k1 conv128k3 pool2s2 conv256k3 pool2s2 conv512k3 pool3s2 softmax",
            2_218_954, "8.78", "2.2",
        ),
        "top3": _net(
            "conv128k3 conv128k1 conv512k5 pool2s2 conv128k3 pool2s2 conv64k3 conv64k5 softmax",
            2_456_586, "8.88", "2.46",
        ),
        "top4": _net(
            "conv256k3 conv256k3 pool5s3 conv256k1 conv128k3 pool2s2 conv128k3 softmax", 1_126_154, "9.24", "1.13"
        ),
        "top5": _net("conv64k3 conv128k3 pool5s3 conv256k3 pool3s2 fc512 fc128 softmax", 1_617_930, "9.48", "1.62"),
    }  # fmt: skip

    def __init__(self, *, input_shape: Shape, num_classes: int, max_layers: int, width: float = 1.0) -> None:
        self.input_shape = require_shape("input_shape", input_shape)
        self.num_classes = num_classes
        self.max_layers = max_layers
        self._width = width
        self.layers: tuple[Layer, ...] = (
            *(BiasedConvolution(channels, kernel, width) for channels in CHANNELS for kernel in KERNELS),
            *(UnpaddedPooling(kernel, stride) for kernel, stride in POOLINGS),
            *(FullyConnected(units, width) for units in UNITS),
            *(Ending(kind) for kind in ENDINGS),
        )
        self._decisions = (Decision("layer", tuple(layer.label for layer in self.layers)),)
        self._head = Classifier(num_classes, pool="flatten")
        self._shapes: dict[Path, Shape] = {(): self.input_shape}

    def options(self) -> dict[str, Any]:
        """The factor on filters and units."""
        return {"width": self._width}

    def decisions(self, depth: int) -> tuple[Decision, ...]:
        """The same at every depth."""
        return self._decisions

    def legal(self, prefix: Path, chosen: Values) -> tuple[bool, ...]:
        """See the class."""
        before = [self.layers[action] for action in prefix[-MOST_FULLY_CONNECTED:]]
        shape = self._shape(prefix)
        return tuple(_may_follow(layer, before, shape) for layer in self.layers)

    def state(self, prefix: Path) -> Hashable:
        """The feature map, and what the last layers are; of those only fully connected ones tell apart by size."""
        before = (self.layers[action] for action in prefix[-MOST_FULLY_CONNECTED:])
        kinds = tuple(layer if isinstance(layer, FullyConnected) else type(layer) for layer in before)
        return self._shape(prefix), kinds

    def label(self, prefix: Path, values: Values) -> str:
        """As in 'conv64k3'."""
        return self._decisions[0].options[values[0]]

    def values(self, prefix: Path, label: str) -> Values:
        """The inverse of `label`."""
        options = self._decisions[0].options
        if label not in options:
            raise SpaceError(f"layer {len(prefix) + 1} is {label!r}; the layers are {', '.join(options)}")
        return (options.index(label),)

    def network(self, path: Path) -> Graph:
        """The layers in turn, and a head that reads every value."""
        return chain([self.layers[action] for action in path], input_shape=self.input_shape, head=self._head)

    def _shape(self, prefix: Path) -> Shape:
        if prefix not in self._shapes:
            after = self.layers[prefix[-1]].output_shape(self._shape(prefix[:-1]))
            assert after is not None, "the prefix is legal"
            if len(self._shapes) > MOST_CACHED:
                self._shapes = {(): self.input_shape}
            self._shapes[prefix] = after
        return self._shapes[prefix]


def size_bin(shape: Shape) -> int:
    """The bin of a feature map's smaller side: 8 for 8 pixels and more, 4 for 4 to 7, else 1."""
    return next(least for least in BINS if min(shape[1:]) >= least)


def _may_follow(layer: Layer, before: list[Layer], shape: Shape) -> bool:
    """Whether a layer may follow a map of `shape`; `before` are the last MOST_FULLY_CONNECTED layers."""
    last = before[-1] if before else None
    if isinstance(last, Ending):
        return False
    if isinstance(last, FullyConnected):
        if isinstance(layer, FullyConnected):
            in_a_row = sum(isinstance(each, FullyConnected) for each in before)
            return layer.units <= last.units and in_a_row < MOST_FULLY_CONNECTED
        return isinstance(layer, Ending) and layer.kind == "softmax"
    if isinstance(layer, BiasedConvolution):
        return layer.output_shape(shape) is not None
    if isinstance(layer, UnpaddedPooling):
        return isinstance(last, BiasedConvolution) and layer.kernel <= size_bin(shape)
    return isinstance(layer, Ending) or size_bin(shape) < BINS[0]
