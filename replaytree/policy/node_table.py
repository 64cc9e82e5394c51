"""The nodes of a memory as arrays, on which a value model is fitted without a walk over the tree.

Shapes: N nodes in the order in which they were first stored, T layers of the deepest path, K budgets in ascending
epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from replaytree.policy.features import NO_LAYER
from replaytree.policy.memory import ReplayMemory
from replaytree.records import NodeStats, Path

Array = TypeVar("Array", bound=npt.NDArray[Any])


@dataclass(frozen=True, slots=True)
class Leader:
    """A prefix among the best at one budget, its average accuracy, and the number of trainings in that average."""

    path: Path
    average_accuracy: float
    count: int


class NodeTable:
    """Grows with the memory. Only changed nodes are read, so a turn costs the same on a tree of any size."""

    def __init__(self, max_layers: int) -> None:
        self._rows: dict[Path, int] = {}
        self._paths: list[Path] = []
        self._epochs_K: list[int] = []
        self._actions_NT = np.full((64, max_layers), NO_LAYER, dtype=np.int64)
        self._averages_NK = np.zeros((64, 0))
        self._counts_NK = np.zeros((64, 0))

    def __len__(self) -> int:
        return len(self._paths)

    def take_in(self, memory: ReplayMemory) -> None:
        """Read the nodes that are new or changed."""
        for node in memory.changes():
            self.put(node)

    def examples(
        self,
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """All measurements by node and then budget: row, epochs, average accuracy, trainings; E values each."""
        rows_E, columns_E = np.nonzero(self._counts_NK[: len(self)])
        epochs_E = np.asarray(self._epochs_K, dtype=np.int64)[columns_E]
        return rows_E, epochs_E, self._averages_NK[rows_E, columns_E], self._counts_NK[rows_E, columns_E]

    def actions(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """The paths of some rows, NO_LAYER after their ends: (rows, T)."""
        chosen: npt.NDArray[np.int64] = self._actions_NT[rows]
        return chosen

    def paths(self, rows: npt.NDArray[np.intp]) -> list[Path]:
        """The paths of some rows."""
        return [self._paths[row] for row in rows]

    def leaders(self, epochs: int, k: int) -> list[Leader]:
        """The k prefixes with the best average at a budget, best first. Ties go to the older prefix."""
        if epochs not in self._epochs_K:
            return []
        column = self._epochs_K.index(epochs)
        counts_N = self._counts_NK[: len(self), column]
        averages_N = np.where(counts_N > 0, self._averages_NK[: len(self), column], -1.0)
        best = np.argsort(-averages_N, kind="stable")[:k]
        return [
            Leader(self._paths[row], float(averages_N[row]), int(counts_N[row])) for row in best if counts_N[row] > 0
        ]

    def put(self, node: NodeStats) -> None:
        """Read one node."""
        row = self._rows.get(node.path)
        if row is None:
            row = self._rows[node.path] = len(self._paths)
            self._paths.append(node.path)
            if row == len(self._actions_NT):
                self._actions_NT = _doubled(self._actions_NT, fill=NO_LAYER)
                self._averages_NK, self._counts_NK = _doubled(self._averages_NK), _doubled(self._counts_NK)
            self._actions_NT[row, : len(node.path)] = node.path
        for sums in node.budgets:
            if sums.average_accuracy is not None:
                column = self._column(sums.epochs)
                self._averages_NK[row, column] = sums.average_accuracy
                self._counts_NK[row, column] = sums.evaluation_count

    def _column(self, epochs: int) -> int:
        if epochs not in self._epochs_K:
            place = int(np.searchsorted(self._epochs_K, epochs))
            self._epochs_K.insert(place, epochs)
            self._averages_NK = np.insert(self._averages_NK, place, 0.0, axis=1)
            self._counts_NK = np.insert(self._counts_NK, place, 0.0, axis=1)
        return self._epochs_K.index(epochs)


def _doubled(array: Array, *, fill: float = 0) -> Array:
    return cast("Array", np.concatenate([array, np.full_like(array, fill)]))
