"""The protocol of a strategy: it proposes episodes and learns from their evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from replaytree.policy.memory import ReplayMemory
from replaytree.records import Path, PathEvaluation, Proposal


@dataclass(frozen=True, slots=True)
class PolicyUpdate:
    """The loss of one update, and the mean entropy of the policy a step, in nats. None: nothing was learned."""

    loss: float | None = None
    entropy: float | None = None


class Strategy(Protocol):
    """Chooses the paths. It sees NodeStats, never a database; its state makes a search resumable to the bit.

    A strategy may also have `aim(trainings)`. A run calls it before it proposes, with the number of trainings that the
    search is to have in all, where the run has such a limit.
    """

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """`num_paths` episodes of at most `depth_bound` layers; `epochs` is the budget they will be trained with.

        `pending` are paths that were proposed earlier and are still being trained.
        """
        ...

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Learn from the episodes; a replayed one comes with its stored averages as its evaluation.

        `memory` is the tree before these evaluations. The episodes need not be this strategy's own, and others may
        have been observed between a proposal and its evaluation. `behaviour` holds the probabilities that the proposal
        was drawn with.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that later proposals depend on, generators included: tensors, numbers, strings, lists, dicts.

        As in torch, these are the tensors in use: copy or save them before the strategy is used again.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        ...
