"""How a run shows where it stands: a live bar where somebody watches, in a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from replaytree.turns import Limits
    from replaytree.turns import Progress as Turn


def is_watched() -> bool:
    """Whether standard output is a terminal or a notebook."""
    if sys.stdout is not None and sys.stdout.isatty():
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class RunBar:
    """A bar with a line of figures, best and time left first; call it with every turn."""

    def __init__(
        self,
        *,
        episodes: int | None = None,
        trainings: int | None = None,
        hours: float | None = None,
        console: Console | None = None,
    ) -> None:
        # Rich takes 0.1 s to import, and most runs of programs show nothing.
        from rich.progress import BarColumn, Progress, TextColumn

        self._limits = Shares(episodes=episodes, trainings=trainings, hours=hours)
        text = TextColumn("{task.description}", markup=False)
        self._bar = Progress(BarColumn(bar_width=12), text, console=console)
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
        share = self._limits.of(turn)
        self._bar.update(self._task, completed=share, description=described(turn, share))


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
    """How much of a run's limits is used."""

    def __init__(
        self, *, episodes: int | None = None, trainings: int | None = None, hours: float | None = None
    ) -> None:
        self._limits = {"run_episodes": episodes, "run_trainings": trainings, "run_seconds": hours and hours * 3600.0}

    def of(self, turn: Turn) -> float:
        """The share of the limit that is nearest."""
        return max(
            (getattr(turn, field) / limit for field, limit in self._limits.items() if limit is not None), default=0.0
        )


def described(turn: Turn, share: float) -> str:
    """One line: best so far, time left (from the share of the limit used), counts, what came, bounds, speed, source."""
    sources = sorted({proposal.source for proposal in turn.proposals})
    came = [
        evaluation.failure or (f"{max(evaluation.accuracies):.4f}" if evaluation.accuracies else "-")
        for evaluation in turn.evaluations
    ]
    best = "-" if turn.best_accuracy is None else f"{turn.best_accuracy:.4f}"
    minutes = turn.run_seconds / 60.0
    left = clock(turn.run_seconds * max(0.0, 1.0 - share) / share) if share > 0.0 else "?"
    return (
        f"best {best}  {left} left  trainings {turn.training_count}  accuracy {' '.join(came)}  "
        f"depth bound {turn.depth_bound}  epochs {turn.epochs}  episode {turn.episode_count}  "
        f"{turn.run_trainings / minutes if minutes else 0.0:.0f} trainings/min  {'+'.join(sources)}"
    )


def clock(seconds: float) -> str:
    """75 -> '1:15', 3700 -> '1:01:40'."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
