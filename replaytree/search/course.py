"""Where a run leads: its limits, which are stored as the goal of its search."""

from __future__ import annotations

from replaytree.errors import ConfigError
from replaytree.search.turns import Limits
from replaytree.tree import Goal, ReplayTree


class Course:
    """The limits of the run under way, and the seconds that earlier runs used of its goal."""

    def __init__(self) -> None:
        self._limits: Limits | None = None
        self._used_before = 0.0

    def to_the_goal(self, tree: ReplayTree) -> Limits:
        """What is left of the goal of a search; ConfigError where nothing is."""
        return Limits.towards(_left(tree))

    def begin(self, tree: ReplayTree, asked: Limits | None, *, episodes: int, trainings: int) -> Limits:
        """The limits of a run that begins, now that the search, which has had so much, is ours.

        Those `asked` for are stored as its goal; None: what is left of the last one.
        """
        if asked is None:
            left = _left(tree)
            self._used_before, self._limits = left.used_seconds, Limits.towards(left)
            return self._limits
        goal = tree.goal()
        self._used_before, self._limits = 0.0 if goal is None else goal.used_seconds, asked
        tree.set_goal(asked.goal(episodes=episodes, trainings=trainings, used_seconds=self._used_before))
        return asked

    def end(self) -> None:
        """The run has ended."""
        self._limits = None

    @property
    def used_seconds(self) -> float | None:
        """Seconds used on the way to the goal; None where no run is under way."""
        return None if self._limits is None else self._used_before + self._limits.seconds


def _left(tree: ReplayTree) -> Goal:
    goal, left = tree.goal(), tree.goal_left()
    if left is None:
        reached = "" if goal is None else f"; the goal of {goal.text} in all is reached"
        raise ConfigError(f"nothing says when to stop{reached}; give episodes, trainings or hours")
    return left
