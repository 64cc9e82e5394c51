"""The protocol of workers: they take the paths of a turn, and return its evaluations when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from replaytree.config import Budget
from replaytree.evaluate.answer import answer_of, require_evaluator
from replaytree.records import Evaluator, Path, PathEvaluation


class Ask(Protocol):
    """How an evaluator is asked: answer_of, or something around it."""

    def __call__(
        self, evaluator: Evaluator, paths: Sequence[Path], *, budget: Budget, seed: int
    ) -> list[PathEvaluation]:
        """One evaluation a path."""
        ...


class Workers(Protocol):
    """Turns are submitted by number while a worker is free, and returned in the order in which they end."""

    @property
    def count(self) -> int:
        """How many workers there are."""
        ...

    @property
    def ahead(self) -> int:
        """How many turns with a training a search may have proposed and not recorded."""
        ...

    @property
    def in_order(self) -> bool:
        """Whether the search takes results in the order of proposal, and not as they come."""
        ...

    @property
    def free(self) -> int:
        """How many more turns can be under way."""
        ...

    def submit(self, number: int, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Begin a turn; only while one is free."""
        ...

    def next(self, *, wait: bool = True) -> tuple[int, Sequence[PathEvaluation] | Exception] | None:
        """A turn that has ended, or None where none has. With `wait`, None comes after about a second.

        An exception is what the evaluator raised; the search raises it when the turn's record is due.
        """
        ...

    def close(self) -> None:
        """End a run. Turns under way are lost. Another run may follow."""
        ...


class InProcess:
    """This process: one turn at a time, evaluated when it is asked for, by `ask`. `ahead` are proposed meanwhile."""

    count = 1
    in_order = True

    def __init__(self, evaluator: Evaluator, *, ask: Ask = answer_of, ahead: int = 1) -> None:
        require_evaluator(evaluator)
        self.evaluator = evaluator
        self.ahead = ahead
        self._ask = ask
        self._turn: tuple[int, Sequence[Path], Budget, int] | None = None

    @property
    def free(self) -> int:
        """1 or 0."""
        return int(self._turn is None)

    def submit(self, number: int, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Keep the turn."""
        assert self._turn is None, "one turn at a time"
        self._turn = number, paths, budget, seed

    def next(self, *, wait: bool = True) -> tuple[int, Sequence[PathEvaluation]] | None:
        """Evaluate the turn, however long it takes."""
        assert self._turn is not None, "no turn was submitted"
        number, paths, budget, seed = self._turn
        self._turn = None
        return number, self._ask(self.evaluator, paths, budget=budget, seed=seed)

    def close(self) -> None:
        """Nothing is under way."""
        self._turn = None
