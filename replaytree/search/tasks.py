"""What must fit the task of a search: its space and its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from replaytree.config import SearchConfig
from replaytree.config.option import declared
from replaytree.config.text import require_task
from replaytree.data import Data, ImageData, task_of
from replaytree.errors import SpaceError
from replaytree.metric import Task
from replaytree.space.catalogue import about, names

# Where --space is not given, by the task of the data; that of images is the option's own default.
TEXT_SPACE = "enas-rnn"


def with_task_space(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given, and a space of text where none is given and the data set is a text."""
    dataset = given.get("dataset")
    if dataset is None or "space" in given:
        return dict(given)
    task = task_of(dataset, data_dir=given.get("data_dir"), task=given.get("task"))
    return {**given, "space": TEXT_SPACE} if task == "text" else dict(given)


def data_task(data: Data) -> Task:
    """The task of some data."""
    return "images" if isinstance(data, ImageData) else "text"


def require_fitting(config: SearchConfig, data: Data | None) -> None:
    """ConfigError for options of the other task than that of the data, SpaceError for a space of it."""
    if data is None:
        return
    task = data_task(data)
    if config.space.space is not None and about(config.space.space).task != task:
        other = about(config.space.space).task
        raise SpaceError(
            f"space {config.space.space!r} is for {other}, and the data set {data.name} is {task}; spaces for {task} "
            f"are {', '.join(names(task))} (--space)"
        )
    require_task(task, config.to_options(), declared(SearchConfig))
