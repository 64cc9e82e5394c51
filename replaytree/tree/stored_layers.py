"""The layers of a stored search, by which everything that is stored of its nodes can be computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaytree.space import xu24
from replaytree.space.described import DescribedLayers, described_layers
from replaytree.tree.stored_json import read_config, read_data


def stored_layers(
    space: Mapping[str, Any], *, config_json: str, data_json: str | None
) -> tuple[DescribedLayers | None, str]:
    """The layers; or None, and why nobody but their author knows them.

    Older databases hold no layers. Those of a named data set are xu24's then, as `resume` takes them.
    Raises SpaceError where they are not those of the labels.
    """
    if "layers" in space:
        return described_layers(space), "some of them are your own code"
    try:
        config, data = read_config(config_json), None if data_json is None else read_data(data_json)
    except ValueError:
        return None, "its configuration or its images cannot be read"
    layers = xu24(config.width or 1.0)
    if space["kind"] != "LayerSpace" or data is None or space["labels"] != [layer.label for layer in layers]:
        return None, "the space is your own"
    if config.dataset is None:
        return None, "an older replaytree stored them without their sizes"
    channels, height, width = data["image_shape"]
    return DescribedLayers(layers, (channels, height, width), len(data["classes"])), ""
