"""Aging evolution (Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier ...", AAAI 2019).

The first `population` paths are random. Then, for each path: of `tournament` members of the population, drawn with
replacement, the best is mutated: one decision of one layer becomes another legal one, chosen uniformly. The child joins
the population, and the oldest member leaves it. Fitness is the accuracy of the whole path.

Mutations of AmoebaNet: with probability `identity` (0.05) the child is its parent; else, as often the one as the other,
an input (their "hidden state") or a choice (their "op") is changed, which is drawn uniformly from all of its kind. A
child that is its parent is trained anew, as in the paper: a path stays in the population only by being good again and
again, so that one lucky training is forgotten with the member that had it.

With `removal` "worst", the control of the paper without aging, the worst of another tournament leaves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from replaytree.config.strategies.evolution import EvolutionOptions, MutationName
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.random_search import random_layer, random_path
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Decision, DecisionKind, Path, PathEvaluation, Proposal, Space
from replaytree.space.coding import Values, allows, decode, is_legal

IDENTITY = 0.05


class EvolutionStrategy:
    """See above. A mutant keeps its parent's layers while they are legal, and is completed at random."""

    def __init__(self, space: Space, options: EvolutionOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        self._mutant = MUTANTS[options.mutation]
        self._identity = IDENTITY if options.mutation == "amoebanet" else 0.0
        if options.identity is not None:
            self._identity = options.identity
        self._generator = torch.Generator().manual_seed(seed)
        self._population: deque[tuple[Path, float]] = deque()

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
            self._join(proposal.path, fitness)
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
        parent = self._population[max(self._drawn(), key=self._fitness)][0]
        if self._identity and float(torch.rand((), generator=self._generator)) < self._identity:
            child = parent
        else:
            child = self._mutant(self._space, parent, self._generator)
        return random_path(self._space, depth_bound, self._generator, prefix=child)

    def _join(self, path: Path, fitness: float) -> None:
        """A new member, the youngest; where there are too many, one leaves."""
        leaver = 0
        is_full = len(self._population) == self._options.population
        if is_full and self._options.removal == "worst":
            leaver = min(self._drawn(), key=self._fitness)
        if is_full:
            del self._population[leaver]
        self._population.append((path, fitness))

    def _drawn(self) -> list[int]:
        """The places of a tournament's members, drawn with replacement."""
        return [below(len(self._population), self._generator) for _ in range(self._options.tournament)]

    def _fitness(self, place: int) -> float:
        return self._population[place][1]


def mutant(space: Space, parent: Path, generator: torch.Generator) -> Path:
    """The parent with one decision of one layer changed, up to the first layer that is no longer legal.

    The layer is drawn first, then one of its decisions. Where nothing in that layer can be changed, it is the parent up
    to that layer.
    """
    place = below(len(parent), generator)
    changeable = [change for change in _changes_at(space, parent, place) if change.others]
    if not changeable:
        return parent[:place]
    several = len(space.decisions(place + 1)) > 1
    change = changeable[below(len(changeable), generator) if several else 0]
    return _changed(space, parent, change, generator)


def amoebanet_mutant(space: Space, parent: Path, generator: torch.Generator) -> Path:
    """The parent with an input changed, or with the same probability a choice; each of its kind is as likely.

    Where nothing of the kind drawn can be changed, something of the other is; where nothing can be at all, it is the
    parent.
    """
    changes = [change for place in range(len(parent)) for change in _changes_at(space, parent, place) if change.others]
    of_inputs = below(2, generator) == 0
    own = [change for change in changes if (change.kind != "choice") is of_inputs] or changes
    return _changed(space, parent, own[below(len(own), generator)], generator) if own else parent


MUTANTS: dict[MutationName, Callable[[Space, Path, torch.Generator], Path]] = {
    "decision": mutant,
    "amoebanet": amoebanet_mutant,
}


@dataclass(frozen=True, slots=True)
class _Change:
    """A decision of a path, at `place` from 0: the values before it in its layer, and what it could be instead."""

    place: int
    kind: DecisionKind
    before: Values
    others: list[int]


def _changes_at(space: Space, parent: Path, place: int) -> list[_Change]:
    prefix, decisions = parent[:place], space.decisions(place + 1)
    values = decode(decisions, parent[place])
    return [
        _Change(place, decision.kind, values[:k], _changes(decision, space.legal(prefix, values[:k]), values[k]))
        for k, decision in enumerate(decisions)
    ]


def _changed(space: Space, parent: Path, change: _Change, generator: torch.Generator) -> Path:
    """The parent after a change, up to the first layer that is no longer legal.

    Later decisions of that layer stay as they are while they are legal, and are drawn anew where not.
    """
    place = change.place
    prefix, decisions = parent[:place], space.decisions(place + 1)
    values = decode(decisions, parent[place])
    chosen: Values = (*change.before, change.others[below(len(change.others), generator)])
    for decision, value in zip(decisions[len(chosen) :], values[len(chosen) :], strict=True):
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
