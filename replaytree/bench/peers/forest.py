"""The random forest of `forest-ei` (Hutter, Hoos and Leyton-Brown, 2011): scikit-learn's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from replaytree.bench.peers.encoding import Encoding
from replaytree.bench.peers.model_based import ExpectedImprovement
from replaytree.records import Path, Space

TREES = 30


class Forest:
    """A Model (model_based.py). The deviation is that of the trees' predictions."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self._encoding = Encoding(space)
        self._seed = seed

    def fit(self, paths: Sequence[Path], targets: NDArray[np.float64]) -> None:
        """A new forest."""
        self._forest = RandomForestRegressor(TREES, max_features=0.5, min_samples_leaf=2, random_state=self._seed)
        self._forest.fit(self._encoding.all_of(paths), targets)

    def predict(self, paths: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation."""
        features_NF = self._encoding.all_of(paths).astype(np.float32)
        trees_EN = np.stack([tree.predict(features_NF, check_input=False) for tree in self._forest.estimators_])
        return trees_EN.mean(axis=0), trees_EN.std(axis=0)


def forest_ei(space: Space, *, seed: int) -> ExpectedImprovement:
    """Expected improvement by this forest."""
    return ExpectedImprovement(space, Forest(space, seed=seed), seed=seed)
