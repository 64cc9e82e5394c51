"""The layers of a stored search, from which shapes and costs of its nodes can be computed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaytree.space import xu24
from replaytree.space.described import DescribedLayers, described_layers
from replaytree.tree.stored_json import read_config, read_data


def stored_layers(
    space: Mapping[str, Any], *, config_json: str, data_json: str | None
) -> tuple[DescribedLayers | None, str]:
    """The layers; or None, and the reason why only their author knows them.

    Older databases hold no layers. For a search on a named data set they are then those of xu24, as in `resume`.
    Raises SpaceError if they do not match the labels.
    """
    if "layers" in space:
        return described_layers(space), "some of them are your own code"
    try:
        config, data = read_config(config_json), None if data_json is None else read_data(data_json)
    except ValueError:
        return None, "its configuration or its images cannot be read"
    layers = xu24(config.space.width or 1.0)
    if space["kind"] != "LayerSpace" or data is None or space["labels"] != [layer.label for layer in layers]:
        return None, "the space is your own"
    if config.source.dataset is None:
        return None, "an older replaytree stored them without their sizes"
    channels, height, width = data["image_shape"]
    return DescribedLayers(layers, (channels, height, width), len(data["classes"])), ""
