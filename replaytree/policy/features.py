"""What the value model reads of paths, as numbers.

`places`: for each depth, one number an option of every decision there, 1 where it was taken. `totals`: over all depths,
how often each option of each choice was taken. `depths`: the number of layers. `budgets`: log2 of the epochs.

Shapes: N paths, T layers of the deepest path, P options over all depths, C options of choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from replaytree.records import Path, Space

NO_LAYER = -1

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Features:
    """See above: places (N, P), totals (N, C), depths (N), budgets (N)."""

    places: npt.NDArray[np.float32]
    totals: npt.NDArray[np.float32]
    depths: Array
    budgets: Array


def joined(one: Features, other: Features) -> Features:
    """The features of both lists of paths, one behind the other."""
    return Features(
        np.concatenate([one.places, other.places]),
        np.concatenate([one.totals, other.totals]),
        np.concatenate([one.depths, other.depths]),
        np.concatenate([one.budgets, other.budgets]),
    )


class PathFeatures:
    """The features of one space."""

    def __init__(self, space: Space) -> None:
        self.max_layers = space.max_layers
        self._depths = [space.decisions(depth) for depth in range(1, space.max_layers + 1)]
        self._first: dict[str, int] = {}
        self._choices = 0
        # Where the options of each depth begin; the last entry is where they end.
        self._begins = [0]
        for decisions in self._depths:
            for decision in decisions:
                if decision.kind == "choice" and decision.name not in self._first:
                    self._first[decision.name] = self._choices
                    self._choices += len(decision.options)
            self._begins.append(self._begins[-1] + sum(len(decision.options) for decision in decisions))

    @property
    def decisions(self) -> float:
        """The number of decisions of a layer, on average."""
        return sum(map(len, self._depths)) / self.max_layers

    def begin(self, depth: int) -> int:
        """The first of `places` of the layer behind `depth` layers."""
        return self._begins[depth]

    def padded(self, paths: Sequence[Path]) -> npt.NDArray[np.int64]:
        """(N, T): the actions of each path, and NO_LAYER behind its end."""
        rows = [(*path, *(NO_LAYER,) * (self.max_layers - len(path))) for path in paths]
        return np.array(rows, dtype=np.int64).reshape(len(paths), self.max_layers)

    def of(self, actions_NT: npt.NDArray[np.int64], epochs_N: npt.NDArray[np.int64]) -> Features:
        """The features of padded paths at budgets."""
        # Whole numbers: single precision holds them exactly, and multiplies them twice as fast.
        places_NP = np.zeros((len(actions_NT), self._begins[-1]), dtype=np.float32)
        totals_NC = np.zeros((len(actions_NT), self._choices), dtype=np.float32)
        for t, decisions in enumerate(self._depths):
            [row_R] = np.nonzero(actions_NT[:, t] != NO_LAYER)
            if not len(row_R):
                continue
            rest_R = actions_NT[row_R, t]
            end = self._begins[t + 1]
            for decision in reversed(decisions):
                end -= len(decision.options)
                value_R, rest_R = rest_R % decision.size, rest_R // decision.size
                if decision.kind == "inputs":
                    bits_RJ = value_R[:, None] >> np.arange(len(decision.options)) & 1
                    places_NP[row_R, end : end + len(decision.options)] = bits_RJ
                    continue
                places_NP[row_R, end + value_R] = 1.0
                if decision.kind == "choice":
                    totals_NC[row_R, self._first[decision.name] + value_R] += 1.0
        depths_N = (actions_NT != NO_LAYER).sum(axis=1).astype(np.float64)
        return Features(places_NP, totals_NC, depths_N, np.log2(epochs_N))
