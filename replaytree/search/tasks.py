"""What must fit the task of a search: its space and its options."""

from __future__ import annotations

from replaytree.config import SearchConfig
from replaytree.config.option import declared
from replaytree.config.text import require_task
from replaytree.data import Data, ImageData
from replaytree.errors import ConfigError
from replaytree.metric import Task
from replaytree.space.catalogue import require_task_of


def data_task(data: Data) -> Task:
    """The task of some data."""
    return "images" if isinstance(data, ImageData) else "text"


def require_fitting(config: SearchConfig, data: Data | None) -> None:
    """ConfigError for a strategy or options of the other task than that of the data, SpaceError for a space of it."""
    if data is None:
        return
    task = data_task(data)
    if config.space.space is not None:
        require_task_of(config.space.space, task, data=data.name)
    if task == "text" and config.strategy_options.is_differentiable:
        raise ConfigError(
            f"--strategy {config.strategy} mixes the layers of networks for images, and the data set {data.name} is "
            f"text; choose another --strategy, as guided or random"
        )
    require_task(task, config.to_options(), declared(SearchConfig))
