"""The kinds of layer: labels, shapes, parameters and FLOPs, in plain integers.

FLOPs are multiply-adds of convolutions and linear layers for one image, which is what torchvision's model tables call
FLOPs; batch norm, ReLU and pooling count 0. A shape is (channels, height, width). Activations are the 32-bit
numbers that a layer keeps for one image from the forward to the backward pass, its output included.

Nothing here imports torch; `modules.py` builds what is described here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.returned import called, require_cost, require_shape

if TYPE_CHECKING:
    from torch import nn

# Channels, sides of feature maps, kernels and strides beyond this are mistakes; their products overflow torch.
LARGEST = 2**20

PoolingKind = Literal["avg", "max"]


@dataclass(frozen=True, slots=True)
class Convolution:
    """Convolution without bias, batch norm, ReLU.

    `channels` is the nominal number, the one in the label; `width` scales it to `output_channels`. Zero padding of
    kernel - 1 pixels in all (the odd one right and below) makes each side ceil(side / stride). Illegal where a side
    is below the stride.
    """

    channels: int
    kernel: int
    stride: int = 1
    width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("channels", "kernel", "stride"):
            require_whole(f"{name} of a Convolution", getattr(self, name), least=1)
        _require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'conv32k3' and 'conv32k3s2'."""
        return f"conv{self.channels}k{self.kernel}{_stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    def output_shape(self, shape: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        return _strided_shape(shape, self.output_channels, self.stride)

    def params(self, shape: Shape) -> int:
        """Weights, and two numbers a channel for the batch norm."""
        return shape[0] * self.output_channels * self.kernel**2 + 2 * self.output_channels

    def flops(self, shape: Shape) -> int:
        """Multiply-adds for one image of `shape`; SpaceError where the layer is illegal."""
        channels, height, width = _legal_output(self, shape)
        return shape[0] * channels * self.kernel**2 * height * width

    def activations(self, shape: Shape) -> int:
        """The convolution's output and the ReLU's; for an even kernel the padded input, too."""
        padded = math.prod((shape[0], *(side + self.kernel - 1 for side in shape[1:]))) if self.kernel % 2 == 0 else 0
        return 2 * math.prod(_legal_output(self, shape)) + padded


@dataclass(frozen=True, slots=True)
class ResidualBlock:
    """Two 3x3 convolutions with batch norm, added to their input, ReLU after each.

    The first convolution has the stride. Where channels or sides change, the input passes a 1x1 convolution with
    batch norm. Sides become ceil(side / stride); illegal where a side is below the stride.
    """

    channels: int
    stride: int = 1
    width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("channels", "stride"):
            require_whole(f"{name} of a ResidualBlock", getattr(self, name), least=1)
        _require_channels(self.channels, self.width)

    @property
    def label(self) -> str:
        """As in 'res64' and 'res64s2'."""
        return f"res{self.channels}{_stride_suffix(self.stride)}"

    @property
    def output_channels(self) -> int:
        """channels x width, rounded."""
        return round(self.channels * self.width)

    def projects(self, input_channels: int) -> bool:
        """Whether the input needs the 1x1 convolution."""
        return self.stride != 1 or input_channels != self.output_channels

    def output_shape(self, shape: Shape) -> Shape | None:
        """The shape after the block; None where it is illegal."""
        return _strided_shape(shape, self.output_channels, self.stride)

    def params(self, shape: Shape) -> int:
        """Weights of the two or three convolutions, and their batch norms."""
        convolutions = 3 if self.projects(shape[0]) else 2
        return self._weights(shape[0]) + convolutions * 2 * self.output_channels

    def flops(self, shape: Shape) -> int:
        """Multiply-adds for one image of `shape`; SpaceError where the block is illegal."""
        _, height, width = _legal_output(self, shape)
        return self._weights(shape[0]) * height * width

    def activations(self, shape: Shape) -> int:
        """The outputs of the two or three convolutions and of the two ReLUs."""
        return (5 if self.projects(shape[0]) else 4) * math.prod(_legal_output(self, shape))

    def _weights(self, input_channels: int) -> int:
        taps = 9 * (input_channels + self.output_channels) + (input_channels if self.projects(input_channels) else 0)
        return taps * self.output_channels


@dataclass(frozen=True, slots=True)
class Pooling:
    """Average or maximum pooling, padded by (kernel - 1) // 2 on each side; padding never counts in an average.

    Kernel 2 stride 2 gives floor(side / 2), kernel 3 ceil(side / stride). Illegal where a side is below the stride.
    """

    kind: PoolingKind
    kernel: int
    stride: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolingKind):
            raise SpaceError(f"kind of a Pooling is {self.kind!r}; it must be 'avg' or 'max'")
        for name in ("kernel", "stride"):
            require_whole(f"{name} of a Pooling", getattr(self, name), least=1)

    @property
    def label(self) -> str:
        """As in 'avg2s2' and 'max3s1'."""
        return f"{self.kind}{self.kernel}s{self.stride}"

    @property
    def padding(self) -> int:
        """Pixels on each side."""
        return (self.kernel - 1) // 2

    def output_shape(self, shape: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        channels, *sides = shape
        height, width = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in sides)
        return (channels, height, width) if min(sides) >= self.stride and min(height, width) >= 1 else None

    def params(self, shape: Shape) -> int:
        """None to train: 0."""
        return 0

    def flops(self, shape: Shape) -> int:
        """No multiply-adds are counted: 0; SpaceError where the layer is illegal."""
        _legal_output(self, shape)
        return 0

    def activations(self, shape: Shape) -> int:
        """The output; for the maximum also where each value came from, an index of 64 bits."""
        return (3 if self.kind == "max" else 1) * math.prod(_legal_output(self, shape))


class CustomLayer:
    """A user's own kind of layer.

    `builder(input_shape)` returns the nn.Module. The module must not change its input, because a classifier head also
    reads it. `output_shape(input_shape)` returns the shape after the layer, or None where the layer is illegal;
    `cost(input_shape)` returns (parameters, multiply-adds for one image). A function that is not given is replaced by
    one run of the module on torch's meta device for each input shape. Such a layer counts as legal everywhere, and
    SpaceError is raised where the run fails.
    """

    def __init__(
        self,
        label: str,
        builder: Callable[[Shape], nn.Module],
        output_shape: Callable[[Shape], Shape | None] | None = None,
        cost: Callable[[Shape], tuple[int, int]] | None = None,
    ) -> None:
        require_label(label)
        self.label = label
        self.builder = builder
        self._output_shape = output_shape
        self._cost = cost
        self._measured: dict[Shape, tuple[Shape, int, int]] = {}

    def __repr__(self) -> str:
        return f"CustomLayer({self.label!r})"

    def output_shape(self, shape: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        if self._output_shape is None:
            return self._measure(shape)[0]
        asked = f"the output shape of layer {self.label!r}"
        after = called(asked, self._output_shape, shape)
        return None if after is None else require_shape(asked, after)

    def params(self, shape: Shape) -> int:
        """Numbers to train."""
        return self._costs(shape)[0]

    def flops(self, shape: Shape) -> int:
        """Multiply-adds for one image of `shape`."""
        return self._costs(shape)[1]

    def activations(self, shape: Shape) -> int:
        """A guess, because only the module knows: as many as a residual block of this input and output keeps."""
        return 4 * math.prod(_legal_output(self, shape)) + math.prod(shape)

    def _costs(self, shape: Shape) -> tuple[int, int]:
        if self._cost is None:
            return self._measure(shape)[1:]
        asked = f"the cost of layer {self.label!r}"
        return require_cost(asked, called(asked, self._cost, shape))

    def _measure(self, shape: Shape) -> tuple[Shape, int, int]:
        if shape not in self._measured:
            from replaytree.space.modules import measure

            self._measured[shape] = measure(self, shape)
        return self._measured[shape]


Layer = Convolution | ResidualBlock | Pooling | CustomLayer


def why_illegal(layer: Layer, shape: Shape) -> str:
    """Why a layer whose `output_shape` is None may not follow a feature map of `shape`."""
    found = f"the feature map is {format_shape(shape)}"
    if isinstance(layer, CustomLayer):
        return f"its output_shape is None where {found}"
    if min(shape[1:]) < layer.stride:
        return f"stride {layer.stride} needs sides of at least {layer.stride} pixels, and {found}"
    return f"it would leave no pixels where {found}"


def format_shape(shape: Shape) -> str:
    """(64, 8, 8) -> '64x8x8'."""
    return "x".join(str(n) for n in shape)


def require_whole(name: str, value: object, *, least: int) -> None:
    """SpaceError unless `value` is an int of at least `least` and at most LARGEST."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SpaceError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    if value > LARGEST:
        raise SpaceError(f"{name} is more than {LARGEST:,}; it must be a whole number of at most that")


def require_label(label: object) -> None:
    """SpaceError unless `label` is text without white space or commas, which separate labels in a written path."""
    if not isinstance(label, str) or not label:
        raise SpaceError(f"label {label!r} is not a name; give each layer a text of at least one character")
    if "," in label or label.split() != [label]:
        raise SpaceError(f"label {label!r} has white space or a comma in it; use '_' or '-' instead")
    if not label.isprintable():
        raise SpaceError(f"label {label!r} has a character that cannot be printed; leave it out")


def _require_channels(channels: int, width: float) -> None:
    if isinstance(width, bool) or not isinstance(width, int | float) or not math.isfinite(width) or width <= 0:
        raise SpaceError(f"width is {width!r}; it must be a number over 0 (--width)")
    if channels * width < 1:
        raise SpaceError(
            f"width is {width}, which leaves {channels} channels none; it must be at least {1 / channels:g} (--width)"
        )
    if channels * width > LARGEST:
        raise SpaceError(
            f"width is {width:g}, which makes {channels} channels more than {LARGEST:,}; it must be at most "
            f"{LARGEST / channels:g} (--width)"
        )


def _stride_suffix(stride: int) -> str:
    return "" if stride == 1 else f"s{stride}"


def _strided_shape(shape: Shape, channels: int, stride: int) -> Shape | None:
    _, height, width = shape
    return (channels, -(-height // stride), -(-width // stride)) if min(height, width) >= stride else None


def _legal_output(layer: Layer, shape: Shape) -> Shape:
    after = layer.output_shape(shape)
    if after is None:
        raise SpaceError(f"{layer.label} is illegal here: {why_illegal(layer, shape)}")
    return after
