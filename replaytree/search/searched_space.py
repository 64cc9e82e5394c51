"""The space of a search: named or given, with the options that complete it, and within its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from replaytree.config import SearchConfig
from replaytree.config.space import given_text
from replaytree.config.storage import command
from replaytree.data import Data, ImageData
from replaytree.errors import ConfigError, SpaceError
from replaytree.policy.random_search import random_path
from replaytree.records import Space
from replaytree.space import ConstrainedSpace, DecisionSpace, LayerSpace, checked
from replaytree.space.catalogue import about, all_options, named_space, require_own_name
from replaytree.space.coding import labels
from replaytree.space.constraints import written
from replaytree.space.graph_space import final_space
from replaytree.space.latency_table import LatencyTable, digest_of, read_table
from replaytree.space.learning import can_learn, cheapest_learner
from replaytree.training import resolve_device

# Random paths by which a space is judged.
LOOKED_AT = 8


def with_layer_options(config: SearchConfig, *, device: str | None) -> SearchConfig:
    """The configuration with every option that its named space has; the width, if it has one, is by the device."""
    if config.space.space is None:
        return config
    device = device or resolve_device(config.machine.device).type
    return config.with_options(**layer_options(config.space.space, config.space.layers.given(), device=device))


def layer_options(space: str, given: Mapping[str, Any], *, device: str) -> dict[str, Any]:
    """What a search on a kind of device takes for the options of a named space that were not given, and those given."""
    chosen = all_options(space, given)
    if "width" in chosen and "width" not in given and device == "cpu":
        chosen["width"] = about(space).cpu_width
    return chosen


def default_space(config: SearchConfig, data: Data | None) -> LayerSpace | DecisionSpace:
    """The named space, for the data; SpaceError where there are none."""
    if data is None:
        raise SpaceError("an evaluator of your own needs a space: give space=, for example a replaytree.LabelSpace")
    return named_space(
        space_name(config),
        input_shape=data.input_shape,
        num_classes=data.num_classes,
        max_layers=config.space.max_layers,
        **config.space.layers.given(),
    )


def own_space(space: Space, data: Data | None) -> Space:
    """A space that was given; SpaceError where its networks are for other data, or it has another space's name."""
    space = checked(space)
    require_own_name(space)
    found = getattr(space, "input_shape", None), getattr(space, "num_classes", None)
    if data is not None and hasattr(space, "network") and found != (data.input_shape, data.num_classes):
        what = "images" if isinstance(data, ImageData) else "words"
        raise SpaceError(
            f"the space has input_shape={found[0]}, num_classes={found[1]}, and the {what} of {data.name} need "
            f"input_shape={data.input_shape}, num_classes={data.num_classes}; make it with these"
        )
    return space


def is_normed(space: Space) -> bool:
    """Whether the networks of a space have batch norm, judged by a few random paths."""
    if not hasattr(space, "network"):
        return True
    generator = torch.Generator().manual_seed(0)
    paths = [random_path(space, space.max_layers, generator).path for _ in range(LOOKED_AT)]
    return all(space.network(path).is_normed for path in paths)


def space_name(config: SearchConfig) -> str:
    """The name of the space; SpaceError where it is of a user's own, and not given."""
    if config.space.space is None:
        raise SpaceError("the space of this search is of your own: give it again (space=)")
    return config.space.space


def without_limits(space: Space, config: SearchConfig) -> tuple[Space, SearchConfig]:
    """The whole of a space given within limits of its own, and the configuration with these: it stores all limits."""
    while isinstance(space, ConstrainedSpace):
        asked = {name: getattr(config.space, name) for name in space.limits}
        limits = {
            name: limit if (other := asked[name]) is None else min(limit, other) for name, limit in space.limits.items()
        }
        space, config = space.space, config.with_options(**limits)
    return space, config


def table_of(config: SearchConfig, space: Space) -> LatencyTable | None:
    """The latency table that the configuration names; SpaceError where it is of another space, or has holes."""
    if config.space.latency_table is None:
        return None
    table = read_table(config.space.latency_table)
    final = final_space(space)
    if config.space.space is None:
        table.require(final)
    else:
        table.require(final, measured_by=f"`{_measuring(config, final)}`")
    return table


def _measuring(config: SearchConfig, space: Any) -> str:
    """The command that measures the layers of a named space at its data."""
    shape, options = "x".join(map(str, space.input_shape)), config.space.layers.given()
    words = [word for name, value in options.items() for word in given_text(name, value).split()]
    return command(
        "latency-table", space_name(config), *words, "--max-layers", config.space.max_layers, "--input", shape,
        "--classes", space.num_classes, "--out", config.space.latency_table,
    )  # fmt: skip


def within_limits(space: Space, config: SearchConfig, table: LatencyTable | None = None) -> Space:
    """The space, in which layers beyond the limits on costs are illegal."""
    if not config.space.limits and config.space.max_latency is None:
        return space
    limited = ConstrainedSpace(space, **config.space.limits, max_latency=config.space.max_latency, table=table)
    if hasattr(space, "network") and can_learn(limited) is False and can_learn(space):
        given = " ".join(written(limited.limits))
        path = cheapest_learner(space, limited.share)
        names = "" if path is None else " ".join(labels(space, path))
        least = "" if path is None else f": {names}, the least that learns, has {limited.told(path)}"
        raise ConfigError(
            f"{given} leaves only layers that learn nothing, such as pooling{least}; raise it, or lower --width"
        )
    return limited


def table_digest(config: SearchConfig) -> dict[str, str]:
    """The checksum of the latency table, so that a search goes on with the same one."""
    file = config.space.latency_table
    if file is None:
        return {}
    return {"latency_table": digest_of(file)}
