"""The sums of nodes, and what a batch of episodes adds to them: plain values, no SQL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from replaytree.errors import EvaluationError
from replaytree.metric import Metric
from replaytree.records import Path
from replaytree.tree.ranking import added_squares, relative_squares
from replaytree.tree.records import Episode

SUMS = ("visit_count", "evaluation_count", "total_accuracy")


@dataclass
class Change:
    """What a batch adds to one node; `accuracies` by epochs."""

    visits: int = 0
    accuracies: dict[int, list[float]] = field(default_factory=dict)

    @property
    def measured(self) -> list[float]:
        """The accuracies of all budgets."""
        return [accuracy for values in self.accuracies.values() for accuracy in values]

    @property
    def sums(self) -> dict[str, int | float]:
        """What is added to the columns SUMS of the node."""
        return dict(zip(SUMS, (self.visits, len(self.measured), math.fsum(self.measured)), strict=True))


@dataclass
class Measured:
    """The sums of one node at one budget."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def added(self, accuracies: Sequence[float]) -> Measured:
        """The sums after these accuracies."""
        return Measured(
            self.count + len(accuracies),
            self.total + math.fsum(accuracies),
            self.squares + added_squares(self.count, self.total, accuracies),
        )

    def relative_squares(self, metric: Metric) -> float:
        """The share of the node in the noise estimate; 0 where nothing is measured."""
        return relative_squares(self.total / self.count, self.squares, metric) if self.count else 0.0


@dataclass
class Stored:
    """One node as it is in the database; `measured` by epochs. No training measured what was `rescored` at."""

    node_id: int
    visit_count: int = 0
    measured: dict[int, Measured] = field(default_factory=dict)
    rescored: set[int] = field(default_factory=set)


def changes_of(batch: Sequence[Episode]) -> dict[Path, Change]:
    """What the batch adds to each prefix; parents stand before their children.

    Shared accuracies add nothing, nor do those that were not measured.
    """
    changes: dict[Path, Change] = {}
    for episode in batch:
        accuracies, shared = (e.accuracies, e.shared) if (e := episode.evaluation) is not None else ((), 0)
        for depth in range(1, len(episode.path) + 1):
            change = changes.setdefault(episode.path[:depth], Change())
            change.visits += 1
            accuracy = accuracies[depth - 1] if depth <= len(accuracies) else None
            if accuracy is None:
                continue
            if depth <= shared and episode.epochs not in change.accuracies:
                raise EvaluationError(
                    f"path {episode.path} shares its first {shared} accuracies at {episode.epochs} epochs, and no "
                    f"earlier path of its batch reports one for {episode.path[:depth]}; give shared=0 for what was "
                    f"trained apart"
                )
            if depth > shared:
                change.accuracies.setdefault(episode.epochs, []).append(accuracy)
    return changes
