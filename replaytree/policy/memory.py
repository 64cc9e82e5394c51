"""The tree as strategies see it: every node's counts in memory, and draws by a softmax over average accuracy.

A copy of what the database holds, rebuilt from it in one read. The tree itself is the sampling structure: each node
keeps the log of the summed weights of its subtree, so an update costs O(depth x children) and so does a draw,
whatever the number of nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch

from replaytree.records import NodeStats, Path

NEVER = -math.inf


class ReplayMemory:
    """All nodes of one search. `temperature` is that of the softmax, in accuracy."""

    def __init__(self, nodes: Iterable[NodeStats] = (), *, temperature: float = 0.01) -> None:
        if not temperature > 0.0:
            raise ValueError(f"temperature is {temperature}; it must be over 0")
        self._temperature = temperature
        self._stats: dict[Path, NodeStats] = {}
        self._children: dict[Path, list[int]] = {(): []}
        self._log_mass: dict[Path, float] = {(): NEVER}
        self._changed: dict[Path, None] = {}
        self.accuracy_range = (math.inf, -math.inf)
        """The least and the best average accuracy that any node has had; (inf, -inf) at first."""
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
        """The nodes stored or changed since the last call, at first all of them; new ones in the order of storing."""
        changed, self._changed = self._changed, {}
        return [self._stats[path] for path in changed]

    @property
    def is_empty(self) -> bool:
        """True while no node has been evaluated: then nothing can be drawn."""
        return self._log_mass[()] == NEVER

    def update(self, nodes: Iterable[NodeStats]) -> None:
        """Take in new or changed nodes; a node's parent comes before it."""
        changed: set[Path] = set()
        for node in nodes:
            path = node.path
            if path not in self._stats:
                self._children[path[:-1]].append(path[-1])
                self._children[path] = []
            self._stats[path] = node
            self._changed[path] = None
            if (average := node.average_accuracy) is not None:
                least, best = self.accuracy_range
                self.accuracy_range = (min(least, average), max(best, average))
            changed.update(path[:t] for t in range(len(path) + 1))
        for path in sorted(changed, key=len, reverse=True):
            self._log_mass[path] = self._summed(path)

    def reload(self, nodes: Iterable[NodeStats]) -> None:
        """Take in every node anew, after a change that moved all averages: `accuracy_range` forgets the old ones."""
        self.accuracy_range = (math.inf, -math.inf)
        self.update(nodes)

    def draw(self, generator: torch.Generator) -> Path:
        """A node's path, drawn with probability softmax(average accuracy / temperature) over all evaluated nodes."""
        assert not self.is_empty, "drew from a memory without evaluations"
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
        """mu(a_t | a_<t) of a drawn path: the share of child a_t in the weight of all children of a_<t."""
        shares = []
        for t, action in enumerate(path):
            prefix = path[:t]
            children = _log_sum(self._log_mass[(*prefix, other)] for other in self._children[prefix])
            shares.append(math.exp(self._log_mass[(*prefix, action)] - children))
        return tuple(shares)

    def rewards(self, path: Path) -> tuple[float, ...]:
        """Average accuracy of every prefix of a stored path; 0 where a failure left none."""
        averages = (self._stats[path[: t + 1]].average_accuracy for t in range(len(path)))
        return tuple(0.0 if average is None else average for average in averages)

    def _own(self, path: Path) -> float:
        average = self._stats[path].average_accuracy if path else None
        return NEVER if average is None else average / self._temperature

    def _summed(self, path: Path) -> float:
        own = [self._own(path)]
        return _log_sum(own + [self._log_mass[(*path, action)] for action in self._children[path]])


def _log_sum(logs: Iterable[float]) -> float:
    values = list(logs)
    top = max(values, default=NEVER)
    return top if top == NEVER else top + math.log(math.fsum(math.exp(value - top) for value in values))
