"""Differentiable strategies: a path is what the numbers of a mixed supernet say, after an epoch of its training.

Numbers and weights belong together, so the evaluator that trains the supernet has both, and its state is a file of the
search. The strategy asks it for an epoch and for the path that its numbers then say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from replaytree.errors import ConfigError
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Mixed, Path, PathEvaluation, Proposal, Space


class MixedSupernet(Protocol):
    """What a differentiable strategy asks of the evaluator that trains its supernet."""

    @property
    def ended(self) -> str | None:
        """Why no epoch is to follow, in words; None where one may."""
        ...

    def aim(self, trainings: int) -> None:
        """The search is to have so many trainings in all."""
        ...

    def advance(self) -> tuple[Path, Mixed, float | None]:
        """Train for an epoch: the path that the numbers then say, what they are like, and their mean loss."""
        ...


class DifferentiableStrategy:
    """A Strategy that proposes, a turn, the path derived after one more epoch. It keeps nothing itself."""

    def __init__(self, space: Space, options: object, *, seed: int) -> None:
        self._supernet: MixedSupernet | None = None
        self._told: tuple[float | None, float | None] = None, None
        # Whether a path was proposed whose score is not there yet.
        self._waits = False

    def attach(self, supernet: MixedSupernet) -> None:
        """Give it the supernet; before it proposes."""
        self._supernet = supernet

    @property
    def ended(self) -> str | None:
        """Why the search has ended, in words; None where it goes on, and until its last path is scored."""
        return None if self._supernet is None or self._waits else self._supernet.ended

    def aim(self, trainings: int) -> None:
        """The trainings of the search, in which rates and temperatures fall."""
        assert self._supernet is not None, "it was attached"
        self._supernet.aim(trainings)

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """The path that is derived after an epoch."""
        assert self._supernet is not None, "it was attached"
        if num_paths != 1:
            raise ConfigError(f"num_paths is {num_paths}, and an epoch derives one path; give 1 (--num-paths)")
        path, mixed, loss = self._supernet.advance()
        entropies = mixed.entropies.values()
        self._told = loss, sum(entropies) / len(entropies)
        self._waits = True
        return [Proposal(path, "sample", (1.0,) * len(path), mixed=mixed)]

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Learns nothing from scores: the epoch has learned from gradients."""
        self._waits = False
        return PolicyUpdate(*self._told)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: all is in the evaluator's state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
