"""The kinds of layer, one file a kind, and how a layer is stored as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from replaytree.errors import SpaceError
from replaytree.space.layers.auxiliary_classifier import AuxiliaryClassifier
from replaytree.space.layers.biased_convolution import BiasedConvolution
from replaytree.space.layers.classifier import Classifier
from replaytree.space.layers.concatenation import Concatenation
from replaytree.space.layers.convolution import Convolution
from replaytree.space.layers.custom import CustomLayer
from replaytree.space.layers.ending import Ending
from replaytree.space.layers.factorized_reduction import FactorizedReduction
from replaytree.space.layers.fully_connected import FullyConnected
from replaytree.space.layers.inverted_residual import InvertedResidual
from replaytree.space.layers.layer import (
    Layer,
    format_shape,
    legal_output,
    require_label,
    require_switch,
    require_whole,
)
from replaytree.space.layers.normed_convolution import NormedConvolution
from replaytree.space.layers.normed_pooling import NormedPooling
from replaytree.space.layers.normed_sum import NormedSum
from replaytree.space.layers.pointwise import Pointwise
from replaytree.space.layers.pooled_convolution import PooledConvolution
from replaytree.space.layers.pooling import Pooling, PoolingKind
from replaytree.space.layers.rectangular import RectangularConvolution
from replaytree.space.layers.rectifier import Rectifier
from replaytree.space.layers.residual import ResidualBlock
from replaytree.space.layers.separable import SeparableConvolution
from replaytree.space.layers.shaped_convolution import ShapedConvolution
from replaytree.space.layers.split_convolution import SplitConvolution
from replaytree.space.layers.stacked_separable import StackedSeparable
from replaytree.space.layers.sum import Sum
from replaytree.space.layers.torchvision_features import TorchvisionFeatures
from replaytree.space.layers.unpadded_pooling import UnpaddedPooling
from replaytree.space.layers.unrolled import Unrolled

# The only types that a file or a database can name: nothing in it is imported or evaluated.
KINDS: dict[str, Any] = {
    "AuxiliaryClassifier": AuxiliaryClassifier,
    "BiasedConvolution": BiasedConvolution,
    "Classifier": Classifier,
    "Concatenation": Concatenation,
    "Convolution": Convolution,
    "Ending": Ending,
    "FactorizedReduction": FactorizedReduction,
    "FullyConnected": FullyConnected,
    "NormedConvolution": NormedConvolution,
    "NormedPooling": NormedPooling,
    "NormedSum": NormedSum,
    "Pointwise": Pointwise,
    "PooledConvolution": PooledConvolution,
    "Pooling": Pooling,
    "RectangularConvolution": RectangularConvolution,
    "Rectifier": Rectifier,
    "ResidualBlock": ResidualBlock,
    "UnpaddedPooling": UnpaddedPooling,
    "InvertedResidual": InvertedResidual,
    "SeparableConvolution": SeparableConvolution,
    "ShapedConvolution": ShapedConvolution,
    "SplitConvolution": SplitConvolution,
    "StackedSeparable": StackedSeparable,
    "Sum": Sum,
    "TorchvisionFeatures": TorchvisionFeatures,
    "Unrolled": Unrolled,
}

# The type of a layer whose code only its author has.
OWN_KIND = "CustomLayer"


def layer_to_json(layer: Layer) -> dict[str, Any]:
    """Its type and fields, as plain values; of a layer that is a user's own, OWN_KIND and the label alone."""
    kind = type(layer).__name__
    if KINDS.get(kind) is not type(layer):
        return {"type": OWN_KIND, "label": layer.label}
    return {"type": kind, **{field.name: getattr(layer, field.name) for field in fields(KINDS[kind])}}


def layer_from_json(values: Mapping[str, Any]) -> Layer:
    """The inverse of layer_to_json; SpaceError for values that are none of our layers."""
    if not isinstance(values, Mapping) or not isinstance(values.get("type"), str):
        raise SpaceError(f"{str(values)[:200]!r} does not describe a layer: it has no type")
    kind = values["type"]
    if kind not in KINDS:
        raise SpaceError(f"{kind[:200]!r} is not a kind of layer; these are: {', '.join(KINDS)}")
    given = {name: _plain(name, value) for name, value in values.items() if name != "type"}
    try:
        layer: Layer = KINDS[kind](**given)
    except (TypeError, OverflowError) as error:
        raise SpaceError(f"a {kind} cannot be made of what is stored: {str(error)[:200]}") from error
    return layer


def _plain(name: str, value: object) -> Any:
    """A number, a bool, a word or a tuple of them; SpaceError for all else: fields are written into exported source."""
    if isinstance(value, list):
        return tuple(_plain(name, each) for each in value)
    if not isinstance(value, bool | int | float) and not (isinstance(value, str) and value.isidentifier()):
        raise SpaceError(f"{name[:200]!r} of a layer is {str(value)[:200]!r}; it must be a number or a word")
    return value


__all__ = [
    "KINDS",
    "OWN_KIND",
    "AuxiliaryClassifier",
    "BiasedConvolution",
    "Classifier",
    "Concatenation",
    "Convolution",
    "CustomLayer",
    "Ending",
    "FactorizedReduction",
    "FullyConnected",
    "InvertedResidual",
    "Layer",
    "NormedConvolution",
    "NormedPooling",
    "NormedSum",
    "Pointwise",
    "PooledConvolution",
    "Pooling",
    "PoolingKind",
    "RectangularConvolution",
    "Rectifier",
    "ResidualBlock",
    "SeparableConvolution",
    "ShapedConvolution",
    "SplitConvolution",
    "StackedSeparable",
    "Sum",
    "TorchvisionFeatures",
    "UnpaddedPooling",
    "Unrolled",
    "format_shape",
    "layer_from_json",
    "layer_to_json",
    "legal_output",
    "require_label",
    "require_switch",
    "require_whole",
]
