"""Random search: every legal option of a decision equally likely, nothing learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replaytree.config.strategies.random import RandomOptions
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Path, PathEvaluation, Proposal, Space
from replaytree.space.coding import Values, encode, ended


class RandomStrategy:
    """Uniform over the legal options, decision by decision.

    The baseline that every search must beat (Li and Talwalkar, 2019).
    """

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
    """One path, uniform over the legal options of every decision after `prefix`; it may end before `depth_bound`."""
    path: Path = prefix[:depth_bound]
    behaviour: tuple[float, ...] = (1.0,) * len(path)
    while len(path) < depth_bound and not ended(space, path):
        action, share = random_layer(space, path, generator)
        path, behaviour = (*path, action), (*behaviour, share)
    return Proposal(path=path, source="sample", behaviour=behaviour)


def random_layer(space: Space, prefix: Path, generator: torch.Generator, *, chosen: Values = ()) -> tuple[int, float]:
    """An action after `prefix` whose values begin with `chosen`, and its probability, given those."""
    decisions = space.decisions(len(prefix) + 1)
    share = 1.0
    for decision in decisions[len(chosen) :]:
        mask = space.legal(prefix, chosen)
        if decision.kind == "inputs":
            bits = torch.randint(2, (len(mask),), generator=generator).tolist()
            chosen = (*chosen, sum(bit << option for option, bit in enumerate(bits) if mask[option]))
            share *= 0.5 ** sum(mask)
            continue
        options = [option for option, legal in enumerate(mask) if legal]
        chosen = (*chosen, options[int(torch.randint(len(options), (), generator=generator))])
        share /= len(options)
    return encode(decisions, chosen), share
