"""What the value model reads of a path, as numbers.

For each depth, one number an option of every decision there: 1 where it was taken. Then, over all depths, how often
each option of each choice was taken, as a share of max_layers; the same for the last layer alone; depth; log2 of the
budget.

Shapes: N paths, T layers of the deepest path, F features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from replaytree.records import Space

NO_LAYER = -1


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
    def count(self) -> int:
        """F."""
        return self._begins[-1] + self.tail

    @property
    def tail(self) -> int:
        """The number of features behind those of single depths."""
        return 2 * self._choices + 2

    @property
    def shared(self) -> list[int]:
        """The features that are divided by the number of layers."""
        start = self._begins[-1]
        return [*range(start, start + self._choices), self.count - 2]

    def depth_of(self, count: int) -> int | None:
        """How many layers a space like this one has, if its paths have `count` features; None where none has."""
        own = count - self.tail
        return self._begins.index(own) if own in self._begins else None

    def begin(self, depth: int) -> int:
        """The first feature of the layer behind `depth` layers."""
        return self._begins[depth]

    def of(self, actions_NT: npt.NDArray[np.int64], epochs_N: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(N, F). Behind its end a path has NO_LAYER."""
        T, totals = self.max_layers, self._begins[-1]
        features_NF = np.zeros((len(actions_NT), self.count), dtype=np.float32)
        depth_N = (actions_NT != NO_LAYER).sum(axis=1)
        for t, decisions in enumerate(self._depths):
            [row_R] = np.nonzero(actions_NT[:, t] != NO_LAYER)
            if not len(row_R):
                continue
            last_R = depth_N[row_R] == t + 1
            rest_R = actions_NT[row_R, t]
            end = self._begins[t + 1]
            for decision in reversed(decisions):
                end -= len(decision.options)
                value_R, rest_R = rest_R % decision.size, rest_R // decision.size
                if decision.kind == "inputs":
                    bits_RJ = value_R[:, None] >> np.arange(len(decision.options)) & 1
                    features_NF[row_R, end : end + len(decision.options)] = bits_RJ
                    continue
                features_NF[row_R, end + value_R] = 1.0
                if decision.kind == "choice":
                    place_R = totals + self._first[decision.name] + value_R
                    features_NF[row_R, place_R] += 1.0 / T
                    features_NF[row_R[last_R], place_R[last_R] + self._choices] = 1.0
        features_NF[:, -2] = depth_N / T
        features_NF[:, -1] = np.log2(epochs_N) / 4.0
        return features_NF
