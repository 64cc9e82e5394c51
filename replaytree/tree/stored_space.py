"""A space as its search stores it, and whether another has the same layers."""

from __future__ import annotations

import json
from typing import Any

from replaytree.errors import SpaceError
from replaytree.records import Space
from replaytree.space import CheckedSpace, LayerSpace
from replaytree.space.layers import layer_to_json


def space_to_json(space: Space) -> str:
    """Its kind, its labels and its depth; of a space of layers also what `check` computes costs and shapes from."""
    labels = list(space.decisions(1)[0].options)
    own = space.space if isinstance(space, CheckedSpace) else space
    described: dict[str, Any] = {"kind": type(own).__name__, "labels": labels, "max_layers": space.max_layers}
    whole: object = space
    while not isinstance(whole, LayerSpace) and hasattr(whole, "space"):
        whole = whole.space
    if isinstance(whole, LayerSpace):
        described["layers"] = [layer_to_json(layer) for layer in whole.layers]
        described |= {name: whole.describe()[name] for name in ("input_shape", "num_classes")}
    return json.dumps(described, sort_keys=True)


def require_same_layers(space: Space, space_json: str, name: str) -> None:
    """SpaceError unless the space's layers are called, and numbered, as those that search `name` was made with."""
    stored = json.loads(space_json)["labels"]
    given = list(space.decisions(1)[0].options)
    if stored == given:
        return
    if len(stored) != len(given):
        difference = f"{len(stored)} layers, and the space given has {len(given)}"
    else:
        action = next(a for a, (old, new) in enumerate(zip(stored, given, strict=True)) if old != new)
        difference = f"layer {action} named {stored[action]}, and the space given has {given[action]}"
    raise SpaceError(f"search {name!r} was made with {difference}; the spaces must be equal")
