"""Tabular Q-learning with experience replay (Baker, Gupta, Naik and Raskar, ICLR 2017; bowenbaker/metaqnn).

A state is what the last layer was, the depth, and the bin of the feature map's size (space/metaqnn.py); so prefixes
that agree in these share their values. A layer of several decisions takes a step for each, whose state has also what
was chosen in the layer before; `inputs` take a step an option.

Paths are drawn epsilon-greedily: with probability epsilon a step is uniform over what is legal, else it is one of the
best by Q, which starts at 0.5. Epsilon falls with the number of different paths trained (SCHEDULE). A path that is
known is not trained again: its stored accuracies make a replayed episode, so it counts once more in the draws.
The schedule is for as many trainings as the search is first asked for.

After a training, `q_replays` paths are drawn uniformly from all episodes so far. The reward, the accuracy of the whole
path, comes at its end; each path is learned from its last step to its first, with discount 1:

    Q(s, a) += q_rate (r + max_a' Q(s', a') - Q(s, a)),  r = 0 but at the end, where there is no s'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from replaytree.config.strategies.q_learning import QLearningOptions
from replaytree.policy.evolution import below
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Path, PathEvaluation, Proposal, Space
from replaytree.space.coding import Values, decode, encode, ended
from replaytree.space.metaqnn import size_bin

# Epsilon, and for how many of 2,700 trainings.
SCHEDULE = (
    (1.0, 1500), (0.9, 100), (0.8, 100), (0.7, 100), (0.6, 150), (0.5, 150), (0.4, 150), (0.3, 150), (0.2, 150),
    (0.1, 150),
)  # fmt: skip
FIRST_VALUE = 0.5
# After so many known paths in a row, the next is trained again: there may be no other, and a search must end.
MOST_KNOWN = 20
# Draws for a path that is not under way; then as many that are uniform.
MOST_DRAWS = 20
MOST_CACHED = 4096
# How many trainings the schedule is for, where nothing says.
USUAL_TRAININGS = 100

State = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: the state, what was taken there, and what could have been."""

    state: State
    action: int
    options: tuple[int, ...]


class QLearningStrategy:
    """See above."""

    def __init__(self, space: Space, options: QLearningOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        self._generator = torch.Generator().manual_seed(seed)
        self._table: dict[State, dict[int, float]] = {}
        self._trainings = options.q_trainings
        self._trained = 0
        self._known_in_a_row = 0
        self._steps: dict[Path, list[Step]] = {}

    def aim(self, trainings: int) -> None:
        """The schedule is for the trainings that the search is first asked for, unless `q_trainings` says how many."""
        if self._trainings is None:
            self._trainings = trainings

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """Epsilon-greedy paths; the known ones as replayed episodes."""
        proposals: list[Proposal] = []
        under_way = list(pending)
        for _ in range(num_paths):
            chance = epsilon(self._trained + len(under_way), self._trainings or USUAL_TRAININGS)
            for draw_chance in [chance] * MOST_DRAWS + [1.0] * MOST_DRAWS:
                path, behaviour = self._draw(depth_bound, draw_chance)
                if path not in under_way:
                    break
            is_known = memory.is_tried(path) and self._known_in_a_row < MOST_KNOWN
            self._known_in_a_row = self._known_in_a_row + 1 if is_known else 0
            if is_known:
                proposals.append(Proposal(path, "replay", behaviour, memory.rewards(path)))
            else:
                proposals.append(Proposal(path, "sample", behaviour))
                under_way.append(path)
        return proposals

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Learn from paths drawn from all episodes, for each that was trained. The loss is the mean squared error."""
        trained = [proposal.path for proposal in proposals if proposal.rewards is None]
        self._trained += len({path for path in trained if not memory.is_tried(path)})
        if not trained:
            return PolicyUpdate()
        episodes = _episodes(memory) + [
            (proposal.path, _reward(proposal.path, evaluation), 1)
            for proposal, evaluation in zip(proposals, evaluations, strict=True)
        ]
        weights = torch.tensor([weight for _, _, weight in episodes], dtype=torch.float64)
        count = self._options.q_replays * len(trained)
        drawn = torch.multinomial(weights, count, replacement=True, generator=self._generator).tolist()
        errors: list[float] = []
        for index in drawn:
            path, reward, _ = episodes[index]
            errors += self._learn(self._steps_of(path), reward)
        return PolicyUpdate(loss=sum(error * error for error in errors) / len(errors))

    def state_dict(self) -> dict[str, Any]:
        """The table, the counts, what the schedule is for, and the generator."""
        return {
            "states": [list(state) for state in self._table],
            "actions": [list(values) for values in self._table.values()],
            "values": [list(values.values()) for values in self._table.values()],
            "trainings": self._trainings,
            "trained": self._trained,
            "known_in_a_row": self._known_in_a_row,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._table = {
            tuple(own): dict(zip(actions, values, strict=True))
            for own, actions, values in zip(state["states"], state["actions"], state["values"], strict=True)
        }
        self._trainings = state["trainings"]
        self._trained = state["trained"]
        self._known_in_a_row = state["known_in_a_row"]
        self._generator.set_state(state["generator"])

    def value(self, state: State, action: int) -> float:
        """Q(s, a)."""
        return self._table.get(state, {}).get(action, FIRST_VALUE)

    def _learn(self, steps: Sequence[Step], reward: float) -> list[float]:
        """Update the values of a path, last step first; the errors, in that order."""
        errors = []
        target = reward
        for step in reversed(steps):
            old = self.value(step.state, step.action)
            errors.append(target - old)
            self._table.setdefault(step.state, {})[step.action] = old + self._options.q_rate * (target - old)
            target = max(self.value(step.state, action) for action in step.options)
        return errors

    def _draw(self, depth_bound: int, chance: float) -> tuple[Path, tuple[float, ...]]:
        """A path, and the probability of each of its layers."""
        path: Path = ()
        behaviour: tuple[float, ...] = ()
        while len(path) < depth_bound and not ended(self._space, path):
            action, share = self._draw_layer(path, chance)
            path, behaviour = (*path, action), (*behaviour, share)
        return path, behaviour

    def _draw_layer(self, prefix: Path, chance: float) -> tuple[int, float]:
        shares: list[float] = []

        def take(place: int, option: int, state: State, options: tuple[int, ...]) -> int:
            values = [self.value(state, each) for each in options]
            best = [each for each, value in zip(options, values, strict=True) if value == max(values)]
            explores = float(torch.rand((), generator=self._generator, dtype=torch.float64)) < chance
            among = options if explores else best
            action = among[below(len(among), self._generator)]
            shares.append(chance / len(options) + ((1.0 - chance) / len(best) if action in best else 0.0))
            return action

        return layer(self._space, prefix, take), math.prod(shares)

    def _steps_of(self, path: Path) -> list[Step]:
        if path not in self._steps:
            if len(self._steps) >= MOST_CACHED:
                self._steps.clear()
            self._steps[path] = steps_of(self._space, path)
        return self._steps[path]


def epsilon(trained: int, trainings: int) -> float:
    """Epsilon after `trained` different paths, with SCHEDULE scaled to `trainings`; the last one behind its end."""
    reached = trained * sum(count for _, count in SCHEDULE) // trainings
    ends = accumulate(count for _, count in SCHEDULE)
    return next((chance for (chance, _), end in zip(SCHEDULE, ends, strict=True) if reached < end), SCHEDULE[-1][0])


def layer(space: Space, prefix: Path, take: Callable[[int, int, State, tuple[int, ...]], int]) -> int:
    """The layer after `prefix`, step by step, as an action.

    `take` is given the number of the decision, of an option of `inputs` (else 0), the state, and the legal actions; it
    returns one of them: the value of a decision, or whether (0, 1) an input is taken.
    """
    decisions = space.decisions(len(prefix) + 1)
    before = (len(prefix), _bin(space, prefix), *_choices(space, prefix))
    chosen: Values = ()
    kept: Values = ()
    for place, decision in enumerate(decisions):
        mask = space.legal(prefix, chosen)
        if decision.kind == "inputs":
            bits = [
                may and take(place, option, (*before, place, option, *kept), (0, 1)) for option, may in enumerate(mask)
            ]
            chosen = (*chosen, sum(bit << option for option, bit in enumerate(bits)))
            continue
        options = tuple(option for option, may in enumerate(mask) if may)
        value = take(place, 0, (*before, place, 0, *kept), options)
        chosen, kept = (*chosen, value), (*kept, value)
    return encode(decisions, chosen)


def steps_of(space: Space, path: Path) -> list[Step]:
    """The steps that make up a legal path."""
    return [step for depth, action in enumerate(path) for step in _steps_of_layer(space, path[:depth], action)]


def _steps_of_layer(space: Space, prefix: Path, action: int) -> list[Step]:
    decisions = space.decisions(len(prefix) + 1)
    values = decode(decisions, action)
    steps: list[Step] = []

    def take(place: int, option: int, state: State, options: tuple[int, ...]) -> int:
        taken = values[place] >> option & 1 if decisions[place].kind == "inputs" else values[place]
        steps.append(Step(state, taken, options))
        return taken

    layer(space, prefix, take)
    return steps


def _choices(space: Space, prefix: Path) -> Values:
    """The last layer's choices."""
    if not prefix:
        return ()
    decisions = space.decisions(len(prefix))
    values = decode(decisions, prefix[-1])
    return tuple(value for decision, value in zip(decisions, values, strict=True) if decision.kind == "choice")


def _bin(space: Space, prefix: Path) -> int:
    """The bin of the feature map's size; 0 where the space does not know it."""
    output_shape = getattr(space, "output_shape", None)
    shape = None if output_shape is None else output_shape(prefix)
    return 0 if shape is None else size_bin(shape)


def _episodes(memory: ReplayMemory) -> list[tuple[Path, float, int]]:
    """The stored paths at which episodes ended: path, reward, how many. A path that failed has reward 0."""
    passed: dict[Path, int] = {}
    for node in memory:
        passed[node.path[:-1]] = passed.get(node.path[:-1], 0) + node.visit_count
    counts = ((node, node.visit_count - passed.get(node.path, 0)) for node in memory)
    return [(node.path, node.average_accuracy or 0.0, count) for node, count in counts if count > 0]


def _reward(path: Path, evaluation: PathEvaluation) -> float:
    return (evaluation.accuracies[-1] or 0.0) if len(evaluation.accuracies) == len(path) else 0.0
