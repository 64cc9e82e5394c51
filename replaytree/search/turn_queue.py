"""Which turn of a run is proposed, trained and recorded when, so that its seed and its workers decide the tree.

With several workers a turn is proposed before the results of some earlier ones are known. Taken as they come, these
would depend on which training happened to end first. So results are taken in the order of proposal: a turn is recorded
when all before it are, and a new one is proposed as soon as fewer than `ahead` trainings are unrecorded. What a
proposal knows is then a matter of counts alone. Workers do not wait for the slowest, because `ahead` is more than
there are workers.

The turns that are proposed and not recorded are a part of the search's state. A search that was stopped or killed
trains them again and goes on as if it had not been. A run that reaches its limit leaves the same turns behind as one
that goes further has at that point, so that going on gives the tree of one long run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from replaytree.evaluate import Workers
from replaytree.records import PathEvaluation
from replaytree.search.learner import Learner
from replaytree.search.turns import Limits, TrainedBy, Turn, episode_seed

# Replays wait behind the training before them. A strategy that proposes nothing else must not fill the memory.
MOST_TURNS_A_TRAINING = 8

_log = logging.getLogger("replaytree")


class TurnQueue:
    """The turns of one run, from their proposal to their record.

    `next` gives the turn to record. The caller has the learner learn from it before it asks again.
    """

    def __init__(
        self, learner: Learner, workers: Workers, limits: Limits, *, num_paths: int, seed: int,
        is_stopped: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._learner = learner
        self._workers = workers
        self._limits = limits
        self._num_paths = num_paths
        self._seed = seed
        self._is_stopped = is_stopped
        self._admitted: set[int] = set()
        self._results: dict[int, Sequence[PathEvaluation] | Exception] = {}
        before, now = learner.trained_by, TrainedBy(workers.count, workers.in_order)
        if before is not None and before != now:
            _log.info("trained by %s so far, by %s from now on: another tree than either alone would give", before, now)
        learner.trained_by = now

    def next(self) -> tuple[Turn, Sequence[PathEvaluation]] | None:
        """The next turn to record, and the evaluations of its paths; None where the run has ended.

        Waits for the workers. An error of an evaluator is raised when its turn would be recorded.
        """
        while True:
            stopping = self._is_stopped()
            if not stopping:
                self._admit()
            if (replayed := self._recordable(lambda turn: not turn.paths)) is not None:
                return replayed, ()
            if self._may_propose(stopping):
                self._learner.propose(self._size())
                continue
            if (turn := self._recordable(lambda turn: turn.number in self._results)) is not None:
                result = self._results.pop(turn.number)
                if isinstance(result, Exception):
                    raise result
                return turn, result
            if not self._under_way:
                return None
            ended = self._workers.next(wait=not stopping)
            if ended is not None:
                self._results[ended[0]] = ended[1]
            elif stopping:
                return None

    @property
    def _under_way(self) -> list[Turn]:
        """The turns that this run trains, or has trained, and that are not recorded."""
        return [turn for turn in self._learner.pending if turn.number in self._admitted and turn.paths]

    def _admit(self) -> None:
        """Take turns into the run, in their order, while its limits have room and a worker is free."""
        for turn in self._learner.pending:
            if turn.number in self._admitted:
                continue
            room = self._limits.room(len(turn.proposals))
            if room <= 0 or (turn.paths and not self._workers.free):
                return
            begun = self._learner.shortened(turn, room)
            self._admitted.add(begun.number)
            self._limits.spend(begun)
            if begun.paths:
                seed = episode_seed(self._seed, begun.number)
                self._workers.submit(begun.number, begun.paths, budget=begun.budget, seed=seed)
            if begun is not turn:
                # The rest is a turn of its own, for which the limits have no room.
                return

    def _recordable(self, is_done: Callable[[Turn], bool]) -> Turn | None:
        """The first turn that is done; where results are taken in order, it must be the first of all."""
        turns = self._learner.pending[:1] if self._workers.in_order else self._learner.pending
        return next((turn for turn in turns if turn.number in self._admitted and is_done(turn)), None)

    def _may_propose(self, stopping: bool) -> bool:
        pending = self._learner.pending
        trainings = sum(bool(turn.paths) for turn in pending)
        if trainings >= self._workers.ahead or len(pending) >= MOST_TURNS_A_TRAINING * self._workers.ahead:
            return False
        if not stopping and self._limits.room(self._num_paths) > 0 and self._room() > 0:
            return True
        # Where a longer run would propose before its next record, this one does, too.
        return self._workers.in_order and bool(self._under_way)

    def _room(self) -> int:
        """What the limits leave behind the turns that wait to be admitted; hours aside."""
        waiting = [turn for turn in self._learner.pending if turn.number not in self._admitted]
        return self._limits.left(self._num_paths, behind=waiting)

    def _size(self) -> int:
        """The episodes of the next turn: fewer than usual where a limit leaves less."""
        room = self._room()
        return room if room > 0 else self._num_paths
