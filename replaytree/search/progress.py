"""How a run shows where it stands: a live bar where somebody watches, in a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from replaytree.search.turns import Limits
    from replaytree.search.turns import Progress as Turn


# Before so many trainings nothing is said of the time left, where nothing is known of what each costs.
FEW = 3
# Columns of the bar; the line beside it has the other 71 of a narrow terminal.
BAR = 8
FAILED = {"diverged": "diverged", "out_of_memory": "out of memory", "error": "failed"}


def is_watched() -> bool:
    """Whether standard output is a terminal or a notebook."""
    if sys.stdout is not None and sys.stdout.isatty():
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class RunBar:
    """A bar with a line of figures, the best first; call it with every turn."""

    def __init__(
        self,
        *,
        episodes: int | None = None,
        trainings: int | None = None,
        hours: float | None = None,
        costs: Sequence[float] | None = None,
        console: Console | None = None,
    ) -> None:
        # Rich takes 0.1 s to import, and most runs of programs show nothing.
        from rich.progress import BarColumn, Progress, TextColumn

        self._limits = Shares(episodes=episodes, trainings=trainings, hours=hours, costs=costs)
        text = TextColumn("{task.description}", markup=False)
        self._bar = Progress(BarColumn(bar_width=BAR), text, console=console)
        self._task = self._bar.add_task("first training", total=1.0)

    def __enter__(self) -> RunBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, turn: Turn) -> None:
        """Show where the run stands after a turn."""
        self._bar.update(self._task, completed=self._limits.of(turn), description=described(turn, self._limits))


@contextmanager
def telling(
    on_turn: Callable[[Turn], None] | None, limits: Limits, *, progress: bool | None
) -> Iterator[Callable[[Turn], None]]:
    """What a run calls with every turn: `on_turn`, and a bar where `progress` says so, or None and somebody watches."""
    if progress is None:
        progress = on_turn is None and is_watched()
    if not progress:
        yield on_turn or (lambda turn: None)
        return
    with RunBar(episodes=limits.episodes, trainings=limits.trainings, hours=limits.hours) as bar:

        def both(turn: Turn) -> None:
            bar(turn)
            if on_turn is not None:
                on_turn(turn)

        yield both


class Shares:
    """How much of a run's limits is used. `costs` are those of its trainings, where they are not alike."""

    def __init__(
        self,
        *,
        episodes: int | None = None,
        trainings: int | None = None,
        hours: float | None = None,
        costs: Sequence[float] | None = None,
    ) -> None:
        self._limits = {"run_episodes": episodes, "run_trainings": trainings, "run_seconds": hours and hours * 3600.0}
        self._spent = list(accumulate(costs)) if costs else None

    def of(self, turn: Turn) -> float:
        """The share of the limit that is nearest."""
        return max(
            (self._share(field, turn) for field, limit in self._limits.items() if limit is not None), default=0.0
        )

    def _share(self, field: str, turn: Turn) -> float:
        done = getattr(turn, field)
        if field != "run_trainings" or self._spent is None:
            return float(done / self._limits[field])
        return self._spent[min(done, len(self._spent)) - 1] / self._spent[-1] if done else 0.0

    def left(self, turn: Turn) -> str:
        """About how long the run will go on; '?' where too little has been seen to tell."""
        share = self.of(turn)
        timed = self._limits["run_seconds"] is not None
        least = FEW if self._spent is None else 1
        if share <= 0.0 or (turn.run_trainings < least and not timed):
            return "?"
        return clock(turn.run_seconds * max(0.0, 1.0 - share) / share)

    def counts(self, turn: Turn) -> str:
        """'8/12 trainings', of this run; of a run that only time ends, how many there were."""
        if (trainings := self._limits["run_trainings"]) is not None:
            return f"{turn.run_trainings}/{trainings} trainings"
        if (episodes := self._limits["run_episodes"]) is not None:
            return f"{turn.run_episodes}/{episodes} episodes"
        return f"{turn.run_trainings} trainings"


def described(turn: Turn, shares: Shares) -> str:
    """One line that fits beside a bar in 80 columns: best so far, counts, time left, and what came last."""
    return f"best {_best(turn)}  {shares.counts(turn)}  {shares.left(turn)} left  {_came(turn)}"


def _best(turn: Turn) -> str:
    """'0.9000 at 8 epochs': only prefixes of the largest budget are ranked, so the best falls when it rises.

    With a supernet '0.9000 in turn 8': its leaders are scored together at the end of the run.
    """
    shown = turn.metric.shown
    if turn.leader is None:
        return shown(None)
    epochs = turn.leader.epochs
    if turn.counts_turns:
        return f"{shown(turn.leader.average_accuracy)} in turn {epochs}"
    return f"{shown(turn.leader.average_accuracy)} at {epochs} {'epoch' if epochs == 1 else 'epochs'}"


def _came(turn: Turn) -> str:
    """The best accuracy that a turn measured, or why it has none."""
    accuracies = [each.highest for each in turn.evaluations if each.highest is not None]
    if accuracies:
        return f"last {turn.metric.shown(max(accuracies))}"
    failures = [evaluation.failure for evaluation in turn.evaluations if evaluation.failure is not None]
    return FAILED[failures[0]] if failures else "last -"


def clock(seconds: float) -> str:
    """75 -> '1:15', 3700 -> '1:01:40'."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
