"""What a kind of layer answers: shapes, parameters and FLOPs in plain integers, its module, and its source.

FLOPs are multiply-adds of convolutions and linear layers for one image, which is what torchvision's model tables call
FLOPs; batch norm, ReLU and pooling count 0. A shape is (channels, height, width). Activations are the 32-bit
numbers that a layer keeps for one image from the forward to the backward pass, its output included.

Each kind is a frozen dataclass of plain values in a file of its own, and imports torch only inside `module`. The
nn.Modules that torch itself lacks are in the folder `modules`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers.operation import Operation

if TYPE_CHECKING:
    from torch import nn

# Channels, sides of feature maps, kernels and strides beyond this are mistakes; their products overflow torch.
LARGEST = 2**20


@runtime_checkable
class Layer(Protocol):
    """A layer on one or more feature maps; every method takes one shape an input."""

    @property
    def label(self) -> str:
        """One word, as in 'conv32k3s2'."""
        ...

    @property
    def definitions(self) -> tuple[str, ...]:
        """The classes that `source` needs, as Python text: what stands between two blank lines of an exported file."""
        ...

    def output_shape(self, *shapes: Shape) -> Shape | None:
        """The shape after the layer; None where it is illegal."""
        ...

    def why_illegal(self, *shapes: Shape) -> str:
        """Why `output_shape` is None there, to follow 'is illegal there: '."""
        ...

    def params(self, *shapes: Shape) -> int:
        """Numbers to train."""
        ...

    def flops(self, *shapes: Shape) -> int:
        """Multiply-adds for one image; SpaceError where the layer is illegal."""
        ...

    def activations(self, *shapes: Shape) -> int:
        """Numbers of 32 bits kept for one image for the backward pass, the output included."""
        ...

    def operations(self, *shapes: Shape) -> tuple[Operation, ...] | None:
        """What the deployed layer does, in order, the last of which makes its output; None where only torch knows."""
        ...

    def module(self, *shapes: Shape) -> nn.Module:
        """The layer as a module, called with one tensor (images, channels, height, width) an input.

        It does not change its inputs: other layers and the heads of prefixes read them, too. Networks are built with
        `build_layer` (building.py), which also checks that the layer is legal.
        """
        ...

    def source(self, *shapes: Shape) -> str:
        """The expression that makes the module in an exported Python file, with `torch`, `nn` and `OrderedDict`."""
        ...


def only(layer: Layer, shapes: tuple[Shape, ...]) -> Shape:
    """The one shape of a layer that takes one feature map; SpaceError for another number of them."""
    if len(shapes) != 1:
        raise SpaceError(f"{layer.label} takes one feature map, and is given {len(shapes)}")
    return shapes[0]


def legal_output(layer: Layer, *shapes: Shape) -> Shape:
    """The shape after the layer; SpaceError where it is illegal."""
    after = layer.output_shape(*shapes)
    if after is None:
        raise SpaceError(f"{layer.label} is illegal here: {layer.why_illegal(*shapes)}")
    return after


def format_shape(shape: Shape) -> str:
    """(64, 8, 8) -> '64x8x8'."""
    return "x".join(str(n) for n in shape)


def strided_shape(shape: Shape, channels: int, stride: int) -> Shape | None:
    """Sides of ceil(side / stride); None where a side is below the stride."""
    _, height, width = shape
    return (channels, -(-height // stride), -(-width // stride)) if min(height, width) >= stride else None


def why_stride_illegal(shape: Shape, stride: int) -> str:
    """Why a layer of that stride may not follow a feature map of `shape`."""
    found = f"the feature map is {format_shape(shape)}"
    if min(shape[1:]) < stride:
        return f"stride {stride} needs sides of at least {stride} pixels, and {found}"
    return f"it would leave no pixels where {found}"


def why_shapes_differ(shapes: tuple[Shape, ...]) -> str:
    """Why a layer that adds its inputs may not read feature maps of these shapes."""
    return f"it adds feature maps of one shape, and these are {', '.join(map(format_shape, shapes))}"


def stride_suffix(stride: int) -> str:
    """'' for 1, 's2' for 2."""
    return "" if stride == 1 else f"s{stride}"


def norm_source(channels: int, *, affine: bool = True) -> str:
    """Batch norm in an exported file; without `affine` it has no numbers to train."""
    return f"nn.BatchNorm2d({channels}{'' if affine else ', affine=False'})"


def require_whole(name: str, value: object, *, least: int) -> None:
    """SpaceError unless `value` is an int of at least `least` and at most LARGEST."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SpaceError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    if value > LARGEST:
        raise SpaceError(f"{name} is more than {LARGEST:,}; it must be a whole number of at most that")


def require_switch(name: str, value: object) -> None:
    """SpaceError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise SpaceError(f"{name} is {value!r}; it must be True or False")


def require_odd(name: str, value: object, *, least: int) -> None:
    """SpaceError unless `value` is an odd int of at least `least`: such a window has a middle."""
    require_whole(name, value, least=least)
    assert isinstance(value, int)
    if value % 2 == 0:
        raise SpaceError(f"{name} is {value}; it must be odd")


def require_label(label: object) -> None:
    """SpaceError unless `label` is text without white space or commas, which separate labels in a written path."""
    if not isinstance(label, str) or not label:
        raise SpaceError(f"label {label!r} is not a name; give each layer a text of at least one character")
    if "," in label or label.split() != [label]:
        raise SpaceError(f"label {label!r} has white space or a comma in it; use '_' or '-' instead")
    if not label.isprintable():
        raise SpaceError(f"label {label!r} has a character that cannot be printed; leave it out")


def require_channels(channels: int, width: float) -> None:
    """SpaceError unless `channels` x `width` is at least one channel and at most LARGEST."""
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
