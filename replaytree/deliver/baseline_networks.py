"""Hand-made networks that a search should beat, as graphs, at any width."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from replaytree.config.limits import NOUNS
from replaytree.errors import ConfigError, SpaceError
from replaytree.records import Shape
from replaytree.space import Classifier, Graph, chain
from replaytree.space.layers import (
    Convolution,
    RectangularConvolution,
    ResidualBlock,
    SeparableConvolution,
    TorchvisionFeatures,
)
from replaytree.space.layers.layer import format_shape

WIDTHS = tuple(step / 64 for step in range(1, 65))
"""The widths that a baseline is scaled to, as parts of its published one."""

# At least so many times as high as wide, an image is taken for a spectrogram: that of keywords is 49 x 10.
_TALL = 2

# With fewer pixels a side, MobileNetV3's first convolution has no stride: five halvings would leave one pixel of 32.
_SMALL = 64


@dataclass(frozen=True, slots=True)
class Baseline:
    """A hand-made network. `make` gives its graph for an input shape, a number of classes and a width.

    At the `narrowest` width its first layer has one channel; None for a network that has one size, whatever the limits:
    it is the floor, and trained anyway.
    """

    about: str
    make: Callable[[Shape, int, float], Graph]
    narrowest: float | None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A baseline at the width that was chosen for it."""

    name: str
    width: float
    graph: Graph

    @property
    def label(self) -> str:
        """'resnet8', and 'resnet8-w0.703' where it is narrower than published."""
        return self.name if self.width == 1.0 else f"{self.name}-w{self.width:.3g}"


def _resnet8(shape: Shape, classes: int, width: float) -> Graph:
    blocks = (ResidualBlock(16, width=width), *(ResidualBlock(each, 2, width) for each in (32, 64)))
    return chain([Convolution(16, 3, width=width), *blocks], input_shape=shape, head=Classifier(classes))


def _resnet18(shape: Shape, classes: int, width: float) -> Graph:
    blocks = [
        ResidualBlock(channels, stride, width)
        for channels, first in ((64, 1), (128, 2), (256, 2), (512, 2))
        for stride in (first, 1)
    ]
    return chain([Convolution(64, 3, width=width), *blocks], input_shape=shape, head=Classifier(classes))


def _mobilenet(shape: Shape, classes: int, width: float) -> Graph:
    stride = 1 if min(shape[1:]) < _SMALL else 2
    layer = TorchvisionFeatures("mobilenet_v3_small", width, stride)
    return chain([layer], input_shape=shape, head=Classifier(classes))


def _ds_cnn(shape: Shape, classes: int, width: float) -> Graph:
    _, rows, columns = shape
    if rows >= _TALL * columns:
        stem: Convolution | RectangularConvolution = RectangularConvolution(64, 10, 4, 2, 2, width)
    else:
        stem = Convolution(64, 3, 2, width)
    blocks = [SeparableConvolution(64, 3, width=width)] * 4
    return chain([stem, *blocks], input_shape=shape, head=Classifier(classes))


def _linear(shape: Shape, classes: int, width: float) -> Graph:
    return chain([], input_shape=shape, head=Classifier(classes, pool="flatten"))


BASELINES: Mapping[str, Baseline] = {
    "resnet8": Baseline("MLPerf Tiny's for images, 78k parameters", _resnet8, 1 / 16),
    "resnet18": Baseline("with a stem of 3x3 and no pooling, as is usual for small images", _resnet18, 1 / 64),
    "mobilenet-v3-small": Baseline("torchvision's; images below 64 pixels are not halved first", _mobilenet, 1 / 64),
    "ds-cnn": Baseline(
        "MLPerf Tiny's for keywords; its first kernel is 10x4 on tall images, else 3x3", _ds_cnn, 1 / 64
    ),
    "linear": Baseline("one layer on the pixels; it has one size", _linear, None),
}


def baseline(name: str) -> Baseline:
    """The baseline of that name; ConfigError for a name that there is not."""
    if name not in BASELINES:
        raise ConfigError(f"{name!r:.80} is not a baseline; these are: {', '.join(BASELINES)}")
    return BASELINES[name]


def fitted(name: str, shape: Shape, classes: int, *, limits: Mapping[str, int | None]) -> Fitted:
    """The widest form of a baseline within `limits`, which name costs of a graph: {'params': 100_000}.

    ConfigError where even the narrowest form is larger, or the images are too small for it.
    """
    made = baseline(name)
    given = {cost: limit for cost, limit in limits.items() if limit is not None}
    widths = [width for width in WIDTHS if made.narrowest is not None and width >= made.narrowest]

    def graph(width: float) -> Graph:
        return made.make(shape, classes, width)

    def is_over(width: float) -> bool:
        found = graph(width)
        # What is unknown is within no limit.
        return any((own := getattr(found, cost)) is None or own > limit for cost, limit in given.items())

    try:
        # Illegal layers are found here: shapes do not depend on the width.
        whole = graph(1.0)
        assert whole.end_shape
        if not widths or not is_over(1.0):
            return Fitted(name, 1.0, whole)
        # Costs rise with the width.
        fits = bisect_left(widths, True, key=is_over)
    except SpaceError as error:
        raise ConfigError(f"{name} does not take images of {format_shape(shape)}: {error}") from error
    if not fits:
        asked = " and ".join(f"at most {limit:,} {NOUNS[cost]}" for cost, limit in given.items())
        least = " and ".join(_told(getattr(graph(widths[0]), cost), NOUNS[cost]) for cost in given)
        raise ConfigError(f"no form of {name} has {asked}: its narrowest has {least}")
    return Fitted(name, widths[fits - 1], graph(widths[fits - 1]))


def _told(cost: int | None, noun: str) -> str:
    return f"an unknown number of {noun}" if cost is None else f"{cost:,} {noun}"
