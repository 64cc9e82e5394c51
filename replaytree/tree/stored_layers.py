"""The layers of a stored search, from which shapes and costs of its nodes can be computed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaytree.errors import SpaceError
from replaytree.space import LayerSpace, xu24
from replaytree.space.layers import OWN_KIND, layer_from_json
from replaytree.tree.stored_json import read_config, read_data


def stored_layers(
    space: Mapping[str, Any], *, config_json: str, data_json: str | None
) -> tuple[LayerSpace | None, str]:
    """The space; or None, and the reason why only the author of its layers knows them.

    Older databases hold no layers. For a search on a named data set they are then those of xu24, as in `resume`.
    Raises SpaceError if they do not match the labels.
    """
    if "layers" in space:
        return _described(space), "some of them are your own code"
    try:
        config, data = read_config(config_json), None if data_json is None else read_data(data_json)
    except ValueError:
        return None, "its configuration or its images cannot be read"
    layers = xu24(config.space.layers.width or 1.0)
    if space["kind"] != "LayerSpace" or data is None or space["labels"] != [layer.label for layer in layers]:
        return None, "the space is your own"
    if config.source.dataset is None:
        return None, "an older replaytree stored them without their sizes"
    shape, classes = tuple(data["image_shape"]), len(data["classes"])
    return LayerSpace(layers, input_shape=shape, num_classes=classes, max_layers=space["max_layers"]), ""


def _described(space: Mapping[str, Any]) -> LayerSpace | None:
    """The space that LayerSpace.describe() describes; None where some layers are a user's own code."""
    try:
        if any(each["type"] == OWN_KIND for each in space["layers"]):
            return None
        found = LayerSpace(
            [layer_from_json(each) for each in space["layers"]],
            input_shape=space["input_shape"],
            num_classes=space["num_classes"],
            max_layers=space["max_layers"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpaceError(f"the layers are described in no way that can be read ({error})") from error
    if list(found.labels) != space["labels"]:
        raise SpaceError("the layers described are not those of the labels")
    return found
