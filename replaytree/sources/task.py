"""What the data of a name, a folder or a file are: images, or a text."""

from __future__ import annotations

import os

from replaytree.errors import DataError
from replaytree.metric import Task
from replaytree.sources.named import NAMED
from replaytree.sources.named_texts import TEXTS, begins_text, holds_text
from replaytree.sources.place import find_source


def task_of(
    dataset: str | os.PathLike[str], *, data_dir: str | os.PathLike[str] | None = None, task: Task | None = None
) -> Task:
    """`text` for a named text and for a folder with train.txt and valid.txt, else `images`; or the `task` asked for.

    A folder in which there is nothing but one of the two, and perhaps test.txt, is `text`, too.
    DataError where a name is known to be of the other one.
    """
    name = os.fspath(dataset)
    if name in NAMED or name in TEXTS:
        own: Task = "text" if name in TEXTS else "images"
        if task not in (None, own):
            raise DataError(f"task is {task}, and {name} is known to be {own}; leave out --task, or choose another")
        return own
    if task is not None:
        return task
    source = find_source(name, data_dir)
    return "text" if source.is_dir() and (holds_text(source) or begins_text(source)) else "images"
