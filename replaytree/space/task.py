"""What the networks of a space are for."""

from __future__ import annotations

from replaytree.metric import Task
from replaytree.records import Space
from replaytree.space.constraints import ConstrainedSpace


def task_of(space: Space) -> Task:
    """The task of a space: that of its plan; images where it says none."""
    whole = space.space if isinstance(space, ConstrainedSpace) else space
    task: Task = getattr(getattr(whole, "plan", whole), "task", "images")
    return task
