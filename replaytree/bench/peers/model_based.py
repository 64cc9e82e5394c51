"""Peers with a model of the accuracy of whole paths, which chooses among mutants of the best and random paths.

Targets are normal scores of ranks. The candidate of the largest expected improvement over the best prediction for a
trained path is next (Mockus, Tiesis and Zilinskas, 1978). A model predicts from the paths with their mean accuracies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from replaytree.bench.peers.peer import Paths, Trained
from replaytree.policy.normal_scores import NormalScores
from replaytree.records import Path, Space


class Model(Protocol):
    """Predicts targets of paths."""

    def fit(self, paths: Sequence[Path], targets: NDArray[np.float64]) -> None:
        """Learn from all paths so far."""
        ...

    def predict(self, paths: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation of each."""
        ...


class ExpectedImprovement:
    """A peer (peer.py) with a model."""

    def __init__(self, space: Space, model: Model, *, seed: int) -> None:
        self._paths = Paths(space, seed=seed)
        self._trained = Trained()
        self._model = model

    def propose(self) -> Path:
        """A start, or the candidate that is expected to improve most."""
        if len(self._trained) < len(self._paths.starts):
            return self._paths.starts[len(self._trained)]
        means = self._trained.means()
        known = list(means)
        accuracies = np.array([means[path] for path in known])
        self._model.fit(known, NormalScores(accuracies).scores(accuracies))
        candidates = self._paths.candidates(means)
        best = self._model.predict(known)[0].max()
        return candidates[int(np.argmax(expected_improvement(*self._model.predict(candidates), best)))]

    def observe(self, path: Path, accuracy: float) -> None:
        """One more training."""
        self._trained.add(path, accuracy)


def expected_improvement(
    mean_N: NDArray[np.float64], deviation_N: NDArray[np.float64], best: float
) -> NDArray[np.float64]:
    """E max(y - best, 0) of y ~ N(mean, deviation^2): (m - b) Phi(z) + s phi(z), z = (m - b) / s."""
    gain_N = mean_N - best
    z_N = gain_N / np.maximum(deviation_N, 1e-12)
    return np.asarray(gain_N * norm.cdf(z_N) + deviation_N * norm.pdf(z_N), dtype=np.float64)
