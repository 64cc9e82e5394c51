"""Several workers as one: a worker takes a turn as soon as it is free, and one that dies or hangs is replaced.

What the workers are is a matter of the crew: processes of this machine (process_crew.py) or Ray's actors
(ray_crew.py).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from replaytree.border import reason
from replaytree.config import Budget
from replaytree.errors import EvaluationError, ReplayTreeError
from replaytree.records import Path, PathEvaluation

# As often may paths end their workers. The second time each of them is tried by itself.
MAX_DEATHS = 3
# How long next() waits at most, so that a signal or a limit is noticed.
WAIT_SECONDS = 0.5
# A worker starts in about 5 seconds. If it takes this long, something else has what it needs.
PATIENCE_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Began:
    """A worker can be asked; `place` says where it is, and more than that for the log."""

    place: str


@dataclass(frozen=True, slots=True)
class Died:
    """A worker has ended, and why."""

    why: str


Outcome = Began | Died | Sequence[PathEvaluation] | Exception
"""What became of what a worker was last told; an exception is what its evaluator raised."""


class Crew(Protocol):
    """Workers by handles of its own. It is used from one thread."""

    def begin(self, number: int) -> Any:
        """Start a worker; its first outcome is Began, Died, or the exception that kept it from beginning."""
        ...

    def ask(self, worker: Any, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Have a worker train. Its outcome is evaluations, an exception, or Died."""
        ...

    def wait(self, seconds: float) -> tuple[Any, Outcome] | None:
        """The next outcome, and whose; None where there is none in this time."""
        ...

    def end(self, worker: Any) -> None:
        """End a worker, whatever it is doing."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...

    def missing(self) -> str:
        """What keeps workers from beginning, as far as is known; empty where nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class _Job:
    """Paths of one turn that go to one worker; `first` is the place of the first of them in the turn."""

    number: int
    first: int
    paths: Sequence[Path]
    budget: Budget
    seed: int
    deaths: int = 0

    @property
    def named(self) -> str:
        return ", ".join(".".join(map(str, path)) for path in self.paths)

    def singly(self) -> list[_Job]:
        """Each path by itself, with the seed that it would have."""
        return [
            replace(self, first=self.first + n, paths=(path,), seed=self.seed + n) for n, path in enumerate(self.paths)
        ]


@dataclass(slots=True, eq=False)
class _Worker:
    """`job` and `since` are what it is doing, and since when it is; no job: it begins, or it is idle."""

    number: int
    handle: Any
    place: str = "not begun"
    job: _Job | None = None
    since: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"worker {self.number} ({self.place})"


class WorkerPool:
    """So many workers, which live from the first turn of a run to its end. It is a `Workers`.

    `timeout`: seconds that the training of one path may take. EvaluationError where workers cannot begin.
    """

    def __init__(self, crew: Crew, count: int, *, as_they_come: bool = False, timeout: float | None = None) -> None:
        self.count = count
        self.in_order = not as_they_come
        # Where one training takes longer than others, these go on behind it. With two workers and the trainings of
        # digits 3 leave them idle for 3 % of the time, and 2 would for 15 %. What is proposed further ahead knows less.
        self.ahead = count if as_they_come else 2 * count - 1
        self._crew = crew
        self._timeout = timeout
        self._turns: dict[int, list[PathEvaluation | None]] = {}
        self._queue: deque[_Job] = deque()
        self._starting: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._busy: list[_Worker] = []
        self._began = self._false_starts = 0
        self._is_told = self._complained = False
        self._since = 0.0

    @property
    def free(self) -> int:
        """Workers without a turn, whether they have begun or not."""
        return self.count - len(self._turns)

    def submit(self, number: int, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Give a turn to a free worker, or to one that is started for it."""
        assert self.free > 0, "every worker has a turn"
        self._turns[number] = [None] * len(paths)
        self._queue.append(_Job(number, 0, tuple(paths), budget, seed))
        self._hand_out()

    def next(self, *, wait: bool = True) -> tuple[int, Sequence[PathEvaluation] | Exception] | None:
        """A turn that has ended, or None."""
        until = time.monotonic() + (WAIT_SECONDS if wait else 0.0)
        while self._starting or self._busy:
            event = self._crew.wait(max(0.0, min(until, self._deadline) - time.monotonic()))
            ended = self._take(*event) if event is not None else self._overdue()
            self._hand_out()
            if ended is not None:
                return ended
            if event is None and time.monotonic() >= until:
                self._complain()
                break
        return None

    def close(self) -> None:
        """End the workers."""
        self._crew.close()
        for each in (self._turns, self._queue, self._starting, self._idle, self._busy):
            each.clear()

    def _hand_out(self) -> None:
        """Give queued jobs to idle workers, and start workers for the rest."""
        while self._queue and self._idle:
            worker, job = self._idle.pop(), self._queue.popleft()
            worker.job, worker.since = job, time.monotonic()
            self._crew.ask(worker.handle, job.paths, budget=job.budget, seed=job.seed)
            self._busy.append(worker)
        room = self.count - len(self._busy) - len(self._starting)
        if not self._began:
            self._since = time.monotonic()
        for _ in range(min(len(self._queue) - len(self._starting), room)):
            self._starting.append(_Worker(self._began, self._crew.begin(self._began)))
            self._began += 1

    def _take(self, handle: Any, outcome: Outcome) -> tuple[int, Sequence[PathEvaluation] | Exception] | None:
        """Take in what became of a worker, which may end a turn."""
        worker = next(each for each in (*self._starting, *self._busy, *self._idle) if each.handle is handle)
        for each in (self._starting, self._busy, self._idle):
            if worker in each:
                each.remove(worker)
        job, worker.job = worker.job, None
        if isinstance(outcome, Began):
            worker.place = outcome.place
            self._idle.append(worker)
            self._false_starts = 0
            self._tell(worker)
            return None
        if isinstance(outcome, Died):
            self._crew.end(handle)
            return self._died(worker, job, outcome.why)
        if isinstance(outcome, Exception):
            self._crew.end(handle)
            if job is None:
                told = str(outcome) if isinstance(outcome, ReplayTreeError) else reason(outcome)
                raise EvaluationError(f"{worker} cannot begin: {told}") from outcome
            self._turns.pop(job.number, None)
            self._queue = deque(other for other in self._queue if other.number != job.number)
            return job.number, outcome
        assert job is not None, "an idle worker answers nothing"
        self._idle.append(worker)
        return self._done(job, outcome)

    def _tell(self, worker: _Worker) -> None:
        """Say once, when the first workers have all begun, how long that took."""
        logger.debug("%s has begun", worker)
        if self._is_told or self._starting:
            return
        self._is_told = True
        workers = sorted([*self._idle, *self._busy], key=lambda each: each.number)
        count = f"{len(workers)} worker has" if len(workers) == 1 else f"{len(workers)} workers have"
        logger.info("%s begun in %.1f seconds: %s", count, time.monotonic() - self._since, ", ".join(map(str, workers)))

    def _done(self, job: _Job, evaluations: Sequence[PathEvaluation]) -> tuple[int, Sequence[PathEvaluation]] | None:
        turn = self._turns.get(job.number)
        if turn is None:
            # Another path of the turn has raised an error.
            return None
        turn[job.first : job.first + len(job.paths)] = evaluations
        ended = [evaluation for evaluation in turn if evaluation is not None]
        if len(ended) < len(turn):
            return None
        del self._turns[job.number]
        return job.number, ended

    def _died(self, worker: _Worker, job: _Job | None, why: str) -> tuple[int, Sequence[PathEvaluation]] | None:
        """Replace a worker. Others train its paths once more, and then each by itself: only the one at fault fails."""
        if job is None:
            if worker.place != "not begun":
                logger.warning("%s ended while it had nothing to do: %s", worker, why)
                return None
            self._false_starts += 1
            if self._false_starts == MAX_DEATHS:
                raise EvaluationError(f"{MAX_DEATHS} workers in a row ended before they began; the last: {why}")
            logger.warning("%s ended before it began; another is started: %s", worker, why)
            return None
        deaths = job.deaths + 1
        if deaths == MAX_DEATHS:
            logger.error(
                "%s died training %s, the %d. to do so: recorded as an error: %s", worker, job.named, deaths, why
            )
            failure = f"training it ended {deaths} workers; the last: {why}"
            return self._done(job, [PathEvaluation((), failure="error", failure_text=failure)] * len(job.paths))
        logger.warning(
            "%s died training %s (%d of %d); another takes it: %s", worker, job.named, deaths, MAX_DEATHS, why
        )
        again = replace(job, deaths=deaths)
        self._queue.extendleft(reversed(again.singly()) if deaths == MAX_DEATHS - 1 else [again])
        return None

    @property
    def _deadline(self) -> float:
        """When the first of the trainings under way is overdue."""
        if self._timeout is None:
            return float("inf")
        return min((each.since + self._allowed(each) for each in self._busy), default=float("inf"))

    def _allowed(self, worker: _Worker) -> float:
        assert self._timeout is not None, "only then trainings are timed"
        assert worker.job is not None, "a busy worker has a job"
        return self._timeout * len(worker.job.paths)

    def _overdue(self) -> tuple[int, Sequence[PathEvaluation]] | None:
        """End a worker whose training takes too long: an error, or where several are trained together, each alone."""
        if self._timeout is None:
            return None
        now = time.monotonic()
        worker = next((each for each in self._busy if now >= each.since + self._allowed(each)), None)
        if worker is None:
            return None
        self._busy.remove(worker)
        self._crew.end(worker.handle)
        job = worker.job
        assert job is not None, "a busy worker has a job"
        what = f"it did not end within {self._timeout:g} seconds (--timeout-per-training)"
        if len(job.paths) > 1:
            logger.warning("%s was ended training %s: %s each; each goes to another by itself", worker, job.named, what)
            self._queue.extendleft(reversed(job.singly()))
            return None
        logger.warning("%s was ended training %s, recorded as an error: %s", worker, job.named, what)
        failed = PathEvaluation((), failure="error", failure_text=what, train_seconds=self._timeout)
        return self._done(job, [failed])

    def _complain(self) -> None:
        """Warn once that no worker begins."""
        oldest = min((worker.since for worker in self._starting), default=None)
        if oldest is not None and not self._complained and time.monotonic() - oldest > PATIENCE_SECONDS:
            self._complained = True
            logger.warning("still waiting for a worker to begin%s", f": {why}" if (why := self._crew.missing()) else "")
