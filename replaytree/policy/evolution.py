"""Aging evolution (Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier ...", AAAI 2019).

The first `population` paths are random. Then, for each path: of `tournament` members of the population, drawn with
replacement, the best is mutated: one decision of one layer becomes another legal one, chosen uniformly. The child joins
the population, and the oldest member leaves it. Fitness is the accuracy of the whole path.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from replaytree.config.strategies.evolution import EvolutionOptions
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.random_search import random_layer, random_path
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Decision, Path, PathEvaluation, Proposal, Space
from replaytree.space.coding import Values, allows, decode, is_legal


class EvolutionStrategy:
    """See above. A mutant keeps its parent's layers while they are legal, and is completed at random."""

    def __init__(self, space: Space, options: EvolutionOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        self._generator = torch.Generator().manual_seed(seed)
        self._population: deque[tuple[Path, float]] = deque(maxlen=options.population)

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """Random paths until the population is full, then mutants."""
        return [self._propose(depth_bound) for _ in range(num_paths)]

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """The paths join the population; a failed one with fitness 0."""
        for proposal, evaluation in zip(proposals, evaluations, strict=True):
            fitness = (evaluation.accuracies[-1] or 0.0) if evaluation.failure is None else 0.0
            self._population.append((proposal.path, fitness))
        return PolicyUpdate()

    def state_dict(self) -> dict[str, Any]:
        """Population and generator."""
        return {
            "population": [[list(path), fitness] for path, fitness in self._population],
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._population.clear()
        self._population.extend((tuple(path), fitness) for path, fitness in state["population"])
        self._generator.set_state(state["generator"])

    def _propose(self, depth_bound: int) -> Proposal:
        if len(self._population) < self._options.population:
            return random_path(self._space, depth_bound, self._generator)
        members = [
            self._population[below(len(self._population), self._generator)] for _ in range(self._options.tournament)
        ]
        parent = max(members, key=lambda member: member[1])[0]
        child = mutant(self._space, parent, self._generator)
        return random_path(self._space, depth_bound, self._generator, prefix=child)


def mutant(space: Space, parent: Path, generator: torch.Generator) -> Path:
    """The parent with one decision of one layer changed, up to the first layer that is no longer legal.

    Later decisions of that layer stay as they are while they are legal, and are drawn anew where not. Where nothing in
    the chosen layer can be changed, it is the parent up to that layer.
    """
    place = below(len(parent), generator)
    prefix, decisions = parent[:place], space.decisions(place + 1)
    values = decode(decisions, parent[place])
    changes = [_changes(decision, space.legal(prefix, values[:k]), values[k]) for k, decision in enumerate(decisions)]
    changeable = [k for k, others in enumerate(changes) if others]
    if not changeable:
        return prefix
    k = changeable[below(len(changeable), generator)] if len(decisions) > 1 else 0
    chosen: Values = (*values[:k], changes[k][below(len(changes[k]), generator)])
    for decision, value in zip(decisions[k + 1 :], values[k + 1 :], strict=True):
        if not allows(decision, space.legal(prefix, chosen), value):
            break
        chosen = (*chosen, value)
    action, _ = random_layer(space, prefix, generator, chosen=chosen)
    child: Path = (*prefix, action)
    for action in parent[place + 1 :]:
        if not is_legal(space, child, action):
            break
        child = (*child, action)
    return child


def _changes(decision: Decision, mask: tuple[bool, ...], value: int) -> list[int]:
    """The values that differ from `value` in one option: another option, or one input more or less."""
    if decision.kind == "inputs":
        return [value ^ 1 << option for option, may in enumerate(mask) if may]
    return [option for option, may in enumerate(mask) if may and option != value]


def below(number: int, generator: torch.Generator) -> int:
    """A whole number from 0 to number - 1."""
    return int(torch.randint(number, (), generator=generator))
