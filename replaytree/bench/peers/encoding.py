"""Paths as the models of peers read them.

Shapes: N paths, T layers, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from replaytree.policy.features import PathFeatures
from replaytree.records import Path, Space


class Encoding:
    """One-hot decisions by place (N, P), and how often each option was taken anywhere, as shares (N, C)."""

    def __init__(self, space: Space) -> None:
        self._features = PathFeatures(space)

    def of(self, paths: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both for paths of any depth."""
        read = self._features.of(self._features.padded(paths), np.ones(len(paths), dtype=np.int64))
        return read.places.astype(np.float64), read.totals.astype(np.float64) / self._features.max_layers

    def all_of(self, paths: Sequence[Path]) -> NDArray[np.float64]:
        """(N, P + C)."""
        return np.concatenate(self.of(paths), axis=1)

    def runs_of(self, paths: Sequence[Path]) -> NDArray[np.float64]:
        """(N, P + D^2): one-hot decisions, and which pairs of options stand in layers that follow each other."""
        onehot_NP, _ = self.of(paths)
        widths = np.diff([0, *(self._features.begin(depth) for depth in range(1, self._features.max_layers + 1))])
        D, begin = int(widths.max()), self._features.begin
        layers_NTD = np.zeros((len(paths), len(widths), D))
        for t, width in enumerate(widths):
            layers_NTD[:, t, :width] = onehot_NP[:, begin(t) : begin(t) + width]
        pairs_NDD = np.minimum(np.einsum("ntd,nte->nde", layers_NTD[:, :-1], layers_NTD[:, 1:]), 1.0)
        return np.concatenate([onehot_NP, pairs_NDD.reshape(len(paths), -1)], axis=1)
