"""What must fit the task of a search: its space and its options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from replaytree.config import SearchConfig
from replaytree.config.option import declared
from replaytree.config.text import require_task
from replaytree.data import Data, ImageData, task_of
from replaytree.metric import Task
from replaytree.space.catalogue import USUAL_SPACES, require_task_of


def with_task_space(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given, and a space of text where none is given and the data set is a text."""
    dataset = given.get("dataset")
    # What is no place at all is refused by the configuration, with all other options of a wrong type.
    if not isinstance(dataset, str | os.PathLike) or "space" in given:
        return dict(given)
    task = task_of(dataset, data_dir=given.get("data_dir"), task=given.get("task"))
    return {**given, "space": USUAL_SPACES["text"]} if task == "text" else dict(given)


def data_task(data: Data) -> Task:
    """The task of some data."""
    return "images" if isinstance(data, ImageData) else "text"


def require_fitting(config: SearchConfig, data: Data | None) -> None:
    """ConfigError for options of the other task than that of the data, SpaceError for a space of it."""
    if data is None:
        return
    task = data_task(data)
    if config.space.space is not None:
        require_task_of(config.space.space, task, data=data.name)
    require_task(task, config.to_options(), declared(SearchConfig))
