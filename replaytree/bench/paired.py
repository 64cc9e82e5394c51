"""What makes searches on a table comparable pair by pair: the same trainings, and the same ranking of what was trained.

The n-th training of a prefix in a search is the same for every strategy and peer with that seed, whenever it happens.
So two of them differ by what they train, and not by luck.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from replaytree.config import Budget
from replaytree.evaluate.tabular import Table
from replaytree.records import Path, PathEvaluation
from replaytree.tree.noise import noise_of
from replaytree.tree.ranking import relative_squares, training_bound


class PairedEvaluator:
    """Looks up accuracies; which of the repeated trainings of a row is drawn depends on seed, path and count alone.

    The count is that of the trainings of this prefix by this evaluator, which serves one search, from its start.
    """

    def __init__(self, table: Table, *, seed: int) -> None:
        self._table = table
        self._seed = seed
        self._counts: defaultdict[Path, int] = defaultdict(int)

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path; the seed of the episode plays no part."""
        return [self._table.evaluation(path, self._drawn) for path in paths]

    def _drawn(self, prefix: Path, row: tuple[float, ...]) -> float:
        entropy = [self._seed, self._counts[prefix], *prefix]
        self._counts[prefix] += 1
        return row[int(np.random.SeedSequence(entropy).generate_state(1)[0]) % len(row)]


class Ledger:
    """What a peer has trained, ranked as a tree ranks it (tree/ranking.py)."""

    def __init__(self) -> None:
        self._found: dict[Path, list[float]] = {}

    def add(self, path: Path, accuracies: Sequence[float | None]) -> None:
        """One training, with an accuracy of each prefix, or None."""
        for t, accuracy in enumerate(accuracies, start=1):
            if accuracy is not None:
                self._found.setdefault(path[:t], []).append(accuracy)

    def best(self) -> Path | None:
        """What `best` would rank first: the largest bound, then the larger average, then the older prefix."""
        noise, best = self._noise(), None
        for path, row in self._found.items():
            average = sum(row) / len(row)
            key = training_bound(average, len(row), noise=noise), average
            if best is None or key > best[0]:
                best = key, path
        return None if best is None else best[1]

    def _noise(self) -> float | None:
        """The noise of trainings, pooled over prefixes that were trained more than once."""
        repeats = squares = 0.0
        for row in self._found.values():
            average = sum(row) / len(row)
            repeats += len(row) - 1
            squares += relative_squares(average, sum((each - average) ** 2 for each in row))
        return noise_of(int(repeats), squares)
