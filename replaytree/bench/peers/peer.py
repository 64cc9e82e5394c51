"""What a peer is: a published way to search that learns from whole paths alone, beside replaytree's strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from replaytree.policy.evolution import mutant
from replaytree.policy.random_search import random_path
from replaytree.records import Path, Space

# Every peer begins with so many random paths, the first ones of random search with its seed.
STARTS = 10
PARENTS = 10
MUTANTS = 150
RANDOM = 50


class Peer(Protocol):
    """Proposes one path at a time, and is told the accuracy of the whole path: 0 where there is none."""

    def propose(self) -> Path:
        """The next path to train."""
        ...

    def observe(self, path: Path, accuracy: float) -> None:
        """What it reached."""
        ...


class Paths:
    """The paths that a peer chooses from, by a generator of its seed."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self.space = space
        self.generator = torch.Generator().manual_seed(seed)
        self.starts = [self.random() for _ in range(STARTS)]

    def random(self) -> Path:
        """A random path of full depth."""
        return random_path(self.space, self.space.max_layers, self.generator).path

    def mutant(self, parent: Path) -> Path:
        """One decision changed; completed at random where that made a later layer illegal."""
        child = mutant(self.space, parent, self.generator)
        return random_path(self.space, self.space.max_layers, self.generator, prefix=child).path

    def candidates(self, accuracies: Mapping[Path, float]) -> list[Path]:
        """Mutants of the best paths so far, and random ones; none that was trained, unless all were."""
        parents = sorted(accuracies, key=accuracies.__getitem__, reverse=True)[:PARENTS]
        found = [self.mutant(parents[n % len(parents)]) for n in range(MUTANTS)]
        found += [self.random() for _ in range(RANDOM)]
        return [path for path in dict.fromkeys(found) if path not in accuracies] or found


class Trained:
    """The paths that a peer has trained, with their mean accuracies, in the order in which they came."""

    def __init__(self) -> None:
        self._found: dict[Path, list[float]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def add(self, path: Path, accuracy: float) -> None:
        """One more training."""
        self._found.setdefault(path, []).append(accuracy)

    def means(self) -> dict[Path, float]:
        """Of each path."""
        return {path: sum(found) / len(found) for path, found in self._found.items()}
