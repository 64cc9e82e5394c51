"""The prefix ranked first over the course of a search: the ranking of `best`, repeated after each training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from heapq import heappop, heappush

from replaytree.records import Path
from replaytree.report.reading import SearchData
from replaytree.tree import EpisodeInfo, Measured, Uncertainty, noise_of

MOST_RANKINGS = 2000
"""A ranking looks at every depth and count; of a longer search only so many are made."""


@dataclass(frozen=True, slots=True)
class Leader:
    """The prefix ranked first at some time: its average then, and what blurred it then."""

    path: Path
    accuracy: float
    evaluation_count: int
    epochs: int
    known: Uncertainty

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, counting trainings and images; None where neither is known."""
        return self.known.interval(self.accuracy, self.evaluation_count)


def leaders(data: SearchData, *, at: Collection[int] = (), most: int = MOST_RANKINGS) -> list[Leader | None]:
    """The leader after each training; None before anything was measured.

    In a search of more than `most` trainings it is looked for after every k-th, after the last, and after those numbers
    of trainings that `at` names; in between it stands as it was.
    """
    step = -(-len(data.trainings) // most) or 1
    ranking = _Ranking(data)
    found: list[Leader | None] = []
    for number, training in enumerate(data.trainings, start=1):
        ranking.add(training)
        if number % step == 0 or number in at or number == len(data.trainings):
            found.append(ranking.leader())
        else:
            found.append(found[-1] if found else None)
    return found


class _Ranking:
    """Sums of the nodes at each budget, and the best of each depth and count: see tree/best.py."""

    def __init__(self, data: SearchData) -> None:
        self._data = data
        self._epochs = 0
        self._measured: defaultdict[int, dict[Path, Measured]] = defaultdict(dict)
        self._noise: defaultdict[int, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
        # (depth, count) -> a heap, best first. Who has been trained again since stands in it still, and is skipped.
        self._groups: dict[int, dict[tuple[int, int], list[tuple[float, float, int, Path]]]] = defaultdict(dict)

    def add(self, training: EpisodeInfo) -> None:
        epochs = training.epochs
        for depth, accuracy in enumerate(training.accuracies, start=1):
            # A copy of what another episode of the same training has is in no sum.
            if accuracy is None or depth <= training.shared:
                continue
            path = training.path[:depth]
            before = self._measured[epochs].get(path, Measured())
            after = self._measured[epochs][path] = before.added([accuracy])
            repeats, squares = self._noise[epochs]
            self._noise[epochs] = (
                repeats + (before.count > 0),
                squares + after.relative_squares(self._data.metric) - before.relative_squares(self._data.metric),
            )
            node = self._data.by_path[path]
            params = float("inf") if node.params is None else node.params
            group = self._groups[epochs].setdefault((depth, after.count), [])
            heappush(group, (-after.total / after.count, params, node.node_id, path))
            self._epochs = max(self._epochs, epochs)

    def leader(self) -> Leader | None:
        known = Uncertainty(noise_of(*self._noise[self._epochs]), self._data.images, self._data.metric)
        measured = self._measured[self._epochs]
        best: tuple[float, float, float, int, Path] | None = None
        for (depth, count), group in list(self._groups[self._epochs].items()):
            while group and measured[group[0][-1]].count != count:
                heappop(group)
            if not group:
                del self._groups[self._epochs][depth, count]
                continue
            negated, params, node_id, path = group[0]
            place = (-known.training_bound(-negated, count), negated, params, node_id, path)
            best = place if best is None else min(best, place)
        if best is None:
            return None
        sums = measured[best[-1]]
        return Leader(best[-1], sums.total / sums.count, sums.count, self._epochs, known)
