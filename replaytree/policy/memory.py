"""The tree as strategies see it: every node's counts in memory, and draws by a softmax over average accuracy.

This is a copy of what the database holds, rebuilt from it in one read. Each node keeps the log of the summed weights of
its subtree. So an update and a draw each cost O(depth x children), whatever the number of nodes.

Trainings need not measure every prefix of their path. A prefix that none measured counts with what its continuations
reached (`reached`).

A memory may have a prior: the memory of another search, perhaps on other images, whose accuracies are on another scale.
A draw comes from the prior with probability w / (w + n), where n is the number of trainings in this search and w =
PRIOR_TRAININGS. So the prior weighs as much as w trainings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from replaytree.records import NodeStats, Path, filled

NEVER = -math.inf
PRIOR_TRAININGS = 10


@dataclass(frozen=True, slots=True)
class _Reached:
    """Trainings of a node and, at its largest budget, their number and the sum of their accuracies.

    Of a node that was not measured, the sums of its children.
    """

    trainings: int
    count: int
    total: float


class ReplayMemory:
    """All nodes of one search. `temperature` is that of the softmax, in accuracy.

    `get`, `children` and iteration answer from this search's own nodes, and not from the prior.
    """

    def __init__(
        self, nodes: Iterable[NodeStats] = (), *, temperature: float = 0.01, prior: ReplayMemory | None = None
    ) -> None:
        if not temperature > 0.0:
            raise ValueError(f"temperature is {temperature}; it must be over 0")
        self._temperature = temperature
        self.prior = prior
        self._stats: dict[Path, NodeStats] = {}
        self._children: dict[Path, list[int]] = {(): []}
        self._log_mass: dict[Path, float] = {(): NEVER}
        self._reached: dict[Path, _Reached] = {}
        self._changed: dict[Path, None] = {}
        self.accuracy_range = (math.inf, -math.inf)
        """The least and the best average accuracy that any node has had; (inf, -inf) at first."""
        self.measures_prefixes = True
        """Whether trainings have measured all prefixes of their paths, as far as is known."""
        self.update(nodes)

    def __len__(self) -> int:
        return len(self._stats)

    def __iter__(self) -> Iterator[NodeStats]:
        return iter(self._stats.values())

    def __contains__(self, path: object) -> bool:
        return path in self._stats

    def get(self, path: Path) -> NodeStats | None:
        """The node at `path`, or None."""
        return self._stats.get(path)

    def children(self, path: Path) -> list[NodeStats]:
        """The stored children of a prefix, in the order in which they were stored."""
        return [self._stats[(*path, action)] for action in self._children.get(path, ())]

    def changes(self) -> list[NodeStats]:
        """The nodes stored or changed since the last call; in the first call all of them. New ones in storing order."""
        changed, self._changed = self._changed, {}
        return [self._stats[path] for path in changed]

    @property
    def is_empty(self) -> bool:
        """True while neither this search nor the prior has an evaluated node: then nothing can be drawn."""
        return self.is_unmeasured and (self.prior is None or self.prior.is_empty)

    @property
    def is_unmeasured(self) -> bool:
        """True while no node has been evaluated in this search."""
        return self._log_mass[()] == NEVER

    @property
    def prior_share(self) -> float:
        """The weight of the prior, in [0, 1], beside that of the search's own trainings; 0 without a prior."""
        if self.prior is None or self.prior.is_empty:
            return 0.0
        trainings = sum(self._reached[node.path].trainings for node in self.children(()))
        return PRIOR_TRAININGS / (PRIOR_TRAININGS + trainings)

    def update(self, nodes: Iterable[NodeStats]) -> None:
        """Add new nodes and replace changed ones. A node's parent comes before the node."""
        changed: set[Path] = set()
        for node in nodes:
            path = node.path
            if path not in self._stats:
                self._children[path[:-1]].append(path[-1])
                self._children[path] = []
            self._stats[path] = node
            self._changed[path] = None
            if (average := node.average_accuracy) is not None:
                self.widen_range((average, average))
            changed.update(path[:t] for t in range(len(path) + 1))
        for path in sorted(changed, key=len, reverse=True):
            self._log_mass[path] = self._summed(path)
            if path:
                self._reached[path] = self._summed_accuracy(path)

    def widen_range(self, seen: tuple[float, float]) -> None:
        """Averages between these two, least and best, were seen, perhaps before this memory was made."""
        least, best = self.accuracy_range
        self.accuracy_range = (min(least, seen[0]), max(best, seen[1]))

    def draw(self, generator: torch.Generator) -> Path:
        """A node's path, drawn with probability softmax(average accuracy / temperature) over all evaluated nodes."""
        assert not self.is_empty, "drew from a memory without evaluations"
        if self.prior is not None and float(torch.rand((), generator=generator)) < self.prior_share:
            return self.prior.draw(generator)
        path: Path = ()
        while True:
            mass = self._log_mass[path]
            left = float(torch.rand((), generator=generator, dtype=torch.float64)) - math.exp(self._own(path) - mass)
            if left < 0.0:
                return path
            chosen = None
            for action in self._children[path]:
                share = math.exp(self._log_mass[(*path, action)] - mass)
                if share > 0.0:
                    chosen, left = action, left - share
                    if left < 0.0:
                        break
            if chosen is None:
                return path
            path = (*path, chosen)

    def behaviour(self, path: Path) -> tuple[float, ...]:
        """mu(a_t | a_<t) of a drawn path: the weight of child a_t, as a share of that of all children of a_<t."""
        shares = []
        for t in range(len(path)):
            prefix = path[:t]
            children = _log_sum(self._log_share((*prefix, other)) for other in self._actions(prefix))
            shares.append(math.exp(self._log_share(path[: t + 1]) - children))
        return tuple(shares)

    def rewards(self, path: Path) -> tuple[float, ...]:
        """Average accuracy of every prefix of a stored path; 0 where a failure left none.

        A prefix that was not measured has that of its shortest measured continuation in the path. For one that only the
        prior knows, it is the prior's accuracy, rescaled to the mean and deviation of this search's averages.
        """
        return filled([self._reward(path[: t + 1]) for t in range(len(path))], len(path))

    def reached(self, path: Path) -> float | None:
        """The average accuracy of a node; where nothing measured it, that of its shortest measured continuations.

        None where there are none.
        """
        found = self._reached.get(path)
        return found.total / found.count if found is not None and found.count else None

    def is_tried(self, path: Path) -> bool:
        """Whether a path was measured, or an episode ended there: other nodes are only passed through."""
        node = self._stats.get(path)
        if node is None:
            return False
        passed = sum(child.visit_count for child in self.children(path))
        return node.average_accuracy is not None or node.visit_count > passed

    def mean_and_deviation(self) -> tuple[float, float]:
        """Mean and deviation of the average accuracies of all evaluated nodes; (0, 0) where there are none."""
        averages = [average for node in self if (average := node.average_accuracy) is not None]
        if not averages:
            return 0.0, 0.0
        mean = math.fsum(averages) / len(averages)
        return mean, math.sqrt(math.fsum((average - mean) ** 2 for average in averages) / len(averages))

    def _reward(self, path: Path) -> float | None:
        node = self._stats.get(path)
        if node is not None and node.average_accuracy is not None:
            return node.average_accuracy
        told = self.prior.get(path) if self.prior is not None else None
        if self.prior is None or told is None or told.average_accuracy is None:
            return None
        mean, deviation = self.mean_and_deviation()
        other_mean, other_deviation = self.prior.mean_and_deviation()
        standardised = (told.average_accuracy - other_mean) / other_deviation if other_deviation else 0.0
        return min(max(mean + deviation * standardised, 0.0), 1.0)

    def _actions(self, prefix: Path) -> list[int]:
        own = self._children.get(prefix, [])
        told = self.prior._children.get(prefix, []) if self.prior is not None else []
        return [*own, *(action for action in told if action not in own)]

    def _log_share(self, path: Path) -> float:
        """The log of the probability that a draw is `path` or passes through it."""
        own = NEVER if self.is_unmeasured else self._log_mass.get(path, NEVER) - self._log_mass[()]
        share = self.prior_share
        if self.prior is None or share == 0.0:
            return own
        return _log_sum([_log(1.0 - share) + own, _log(share) + self.prior._log_share(path)])

    def _own(self, path: Path) -> float:
        average = self._stats[path].average_accuracy if path else None
        return NEVER if average is None else average / self._temperature

    def _summed_accuracy(self, path: Path) -> _Reached:
        """What a node reached; its children are summed already."""
        node = self._stats[path]
        if node.average_accuracy is not None:
            largest = node.budgets[-1]
            return _Reached(node.evaluation_count, largest.evaluation_count, largest.total_accuracy)
        below = [self._reached[(*path, action)] for action in self._children[path]]
        if any(each.count for each in below):
            self.measures_prefixes = False
        return _Reached(
            sum(each.trainings for each in below),
            sum(each.count for each in below),
            math.fsum(each.total for each in below),
        )

    def _summed(self, path: Path) -> float:
        own = [self._own(path)]
        return _log_sum(own + [self._log_mass[(*path, action)] for action in self._children[path]])


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0.0 else NEVER


def _log_sum(logs: Iterable[float]) -> float:
    values = list(logs)
    top = max(values, default=NEVER)
    return top if top == NEVER else top + math.log(math.fsum(math.exp(value - top) for value in values))
