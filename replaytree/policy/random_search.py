"""Random search: every legal action equally likely, nothing learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replaytree.config.strategies.random import RandomOptions
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Path, PathEvaluation, Proposal, Space


class RandomStrategy:
    """Uniform over legal actions, step by step (Li and Talwalkar, 2019: the baseline every search must beat)."""

    def __init__(self, space: Space, options: RandomOptions, *, seed: int) -> None:
        self._space = space
        self._generator = torch.Generator().manual_seed(seed)

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """`num_paths` random paths."""
        return [random_path(self._space, depth_bound, self._generator) for _ in range(num_paths)]

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Learns nothing."""
        return PolicyUpdate()

    def state_dict(self) -> dict[str, Any]:
        """The generator."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The generator."""
        self._generator.set_state(state["generator"])


def random_path(space: Space, depth_bound: int, generator: torch.Generator, *, prefix: Path = ()) -> Proposal:
    """One path, uniform over the legal actions at every step after `prefix`."""
    path: Path = prefix[:depth_bound]
    behaviour: tuple[float, ...] = (1.0,) * len(path)
    while len(path) < depth_bound:
        actions = [action for action, legal in enumerate(space.legal(path)) if legal]
        path = (*path, actions[int(torch.randint(len(actions), (), generator=generator))])
        behaviour = (*behaviour, 1.0 / len(actions))
    return Proposal(path=path, source="sample", behaviour=behaviour)
