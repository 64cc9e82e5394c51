"""Layers from what a database says of them, so that what is stored of a path can be computed anew. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replaytree.errors import SpaceError
from replaytree.records import Shape
from replaytree.space.layers import Layer, layer_from_json


@dataclass(frozen=True, slots=True)
class Step:
    """What one layer does: the feature map after it, and what it adds to parameters and FLOPs, the head's included."""

    shape: Shape
    params: int
    flops: int


@dataclass(frozen=True, slots=True)
class DescribedLayers:
    """Layers on images of one shape, with a linear head."""

    layers: tuple[Layer, ...]
    input_shape: Shape
    num_classes: int

    def step(self, action: int, before: Shape | None) -> Step | None:
        """The layer after a feature map, or on the images (None); None where it is illegal."""
        layer = self.layers[action]
        start = self.input_shape if before is None else before
        after = layer.output_shape(start)
        if after is None:
            return None
        params, flops = layer.params(start), layer.flops(start)
        # The head has weights and biases for every channel of the last feature map, and moves along.
        params += self.num_classes * (after[0] + 1 - (0 if before is None else before[0] + 1))
        flops += self.num_classes * (after[0] - (0 if before is None else before[0]))
        return Step(after, params, flops)


def described_layers(description: Mapping[str, Any]) -> DescribedLayers | None:
    """The layers that LayerSpace.describe() describes; None where some are a user's own code, or not described.

    Raises SpaceError where they are not those of its labels.
    """
    described = description.get("layers")
    if described is None:
        return None
    try:
        if any(each["type"] == "CustomLayer" for each in described):
            return None
        layers = tuple(layer_from_json(each) for each in described)
        channels, height, width = description["input_shape"]
        found = DescribedLayers(layers, (channels, height, width), description["num_classes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpaceError(f"the layers are described in no way that can be read ({error})") from error
    if [layer.label for layer in layers] != description["labels"]:
        raise SpaceError("the layers described are not those of the labels")
    return found
