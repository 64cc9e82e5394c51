"""The space of a search that names none, and whether one that is named fits a preset."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, get_args

from replaytree.config.option import declared
from replaytree.config.space import LayerOptions
from replaytree.errors import ConfigError
from replaytree.metric import Task
from replaytree.sources.place import KNOWN, source_name
from replaytree.sources.task import task_of
from replaytree.space.catalogue import USUAL_SPACES, about, require_task_of


def with_task_space(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given, and a space of text where none is given and the data set is a text.

    Reads no data. DataError where the task is looked for and there is no such data set, SpaceError for an unknown space
    or one of the other task.
    """
    dataset, space = given.get("dataset"), given.get("space")
    data_dir, wanted = given.get("data_dir"), given.get("task")
    # What is no place or task at all is refused by the configuration, with all other options of a wrong type.
    if not isinstance(dataset, str | os.PathLike) or not isinstance(data_dir, str | os.PathLike | None):
        return dict(given)
    if wanted not in (None, *get_args(Task)):
        return dict(given)
    task = task_of(dataset, data_dir=data_dir, task=wanted)
    if "space" not in given:
        return {**given, "space": USUAL_SPACES["text"]} if task == "text" else dict(given)
    if isinstance(space, str):
        name = os.fspath(dataset)
        require_task_of(space, task, data=name if name in KNOWN else source_name(name, data_dir))
    return dict(given)


def require_space_of(preset: str | None, found: Mapping[str, Any], *, given: Mapping[str, Any]) -> None:
    """ConfigError where the space given lacks an option that `found` has from a preset for a space of its own."""
    if preset is None or "space" not in given:
        return
    ours = set(found) & set(declared(LayerOptions)) - set(given)
    if lacking := sorted(ours - set(about(given["space"]).defaults)):
        raise ConfigError(
            f"preset {preset} sets {declared(LayerOptions)[lacking[0]].flag}, and space {given['space']!r} has no such "
            f"option; leave out --space, or --preset"
        )
