"""This process with several trainings at once, for a GPU that one training does not fill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

import torch

from replaytree.config import Budget
from replaytree.evaluate.answer import answer_of, require_evaluator
from replaytree.evaluate.workers import Ask
from replaytree.records import Evaluator, Path, PathEvaluation
from replaytree.training.baton import Relay, Runner, Standing


class _Job(NamedTuple):
    """A turn to train; `standing` is what torch keeps for the process when it begins."""

    number: int
    evaluate: Callable[[], list[PathEvaluation]]
    standing: Standing


class Concurrent:
    """This process, with up to `at_once` turns under way, each in a thread of its own. It is a `Workers`.

    One thread at a time runs (training/baton.py): the caller's, but while it waits in `next`, or one that trains. What
    is trained depends on the turns alone, so for a search's tree this is one worker, however many train at once.
    """

    count = 1
    in_order = True

    def __init__(
        self, evaluator: Evaluator, *, at_once: int, ahead: int, device: torch.device, ask: Ask = answer_of
    ) -> None:
        require_evaluator(evaluator)
        self.evaluator = evaluator
        self.at_once = at_once
        self.ahead = ahead
        self._device = device
        self._ask = ask
        self._begin()

    def _begin(self) -> None:
        """Be as new."""
        self._relay: Relay | None = None
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[int, list[PathEvaluation] | BaseException]] = SimpleQueue()

    @property
    def free(self) -> int:
        """How many more turns can be under way."""
        return self.at_once - self._under_way

    def submit(self, number: int, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Give a turn to a thread, which begins with it when this one waits."""
        assert self.free > 0, "as many turns are under way as can be"
        if self._relay is None:
            self._relay = Relay(self._device)
        self._under_way += 1
        evaluate = partial(self._ask, self.evaluator, tuple(paths), budget=budget, seed=seed)
        self._jobs.put(_Job(number, evaluate, Standing(self._device, copied=True)))
        if len(self._threads) < self._under_way:
            # They serve until the end of the run: a library may keep memory for each thread that it knows.
            runner = Runner(self._relay, len(self._threads))
            work = partial(_work, runner, self._jobs, self._ended)
            self._threads.append(threading.Thread(target=work, name=f"training {len(self._threads)}", daemon=True))
            self._threads[-1].start()

    def next(self, *, wait: bool = True) -> tuple[int, Sequence[PathEvaluation] | Exception]:
        """Let the turns under way go on until one of them ends, however long it takes."""
        assert self._relay is not None, "no turn was submitted"
        with self._relay.given(first=True):
            try:
                number, outcome = self._ended.get()
            except BaseException:  # Ctrl-C: what is under way ends at its next step
                self._relay.stopped = True
                raise
        self._under_way -= 1
        if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
            raise outcome
        return number, outcome

    def close(self) -> None:
        """End what is under way, at its next step, and the threads."""
        relay, threads, jobs = self._relay, self._threads, self._jobs
        self._begin()
        if relay is None:
            return
        if relay.holder in (None, *(thread.ident for thread in threads)):
            # Ctrl-C came twice.
            relay.take(first=True)
        relay.stopped = True
        relay.changed()
        with relay.given():
            for _ in threads:
                jobs.put(None)
            for thread in threads:
                thread.join()


def _work(
    runner: Runner,
    jobs: SimpleQueue[_Job | None],
    ended: SimpleQueue[tuple[int, list[PathEvaluation] | BaseException]],
) -> None:
    """What a thread does: one turn after the other."""
    while (job := jobs.get()) is not None:
        ended.put((job.number, runner.run(job.evaluate, job.standing)))
