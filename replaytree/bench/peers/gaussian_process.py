"""The Gaussian process of `gp-ei`: scikit-learn's, with a kernel for paths.

Shapes: N and M paths, K kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel, WhiteKernel

from replaytree.bench.peers.encoding import Encoding
from replaytree.bench.peers.model_based import ExpectedImprovement
from replaytree.records import Path, Space

# The likelihood is maximised after every so many trainings, which takes 20 times as long as one fit.
TUNE_EVERY = 10
BOUNDS = (1e-3, 1e3)


class PathKernel(Kernel):  # type: ignore[misc]
    """a (share of equal decisions) + b exp(-4 (share of other decisions)) + c exp(-|difference of counts|^2).

    The three weights are the hyperparameters. The first kernel knows effects of single decisions alone, the second also
    what whole paths have in common, and the third how often each option was taken wherever it stands. `places` is the
    number of one-hot features, which come first; counts come behind them.
    """

    def __init__(self, places: int, additive: float = 0.5, alike: float = 0.5, counts: float = 0.2) -> None:
        self.places = places
        self.additive, self.alike, self.counts = additive, alike, counts

    @property
    def hyperparameter_additive(self) -> Hyperparameter:
        """The weight of single decisions."""
        return Hyperparameter("additive", "numeric", BOUNDS)

    @property
    def hyperparameter_alike(self) -> Hyperparameter:
        """The weight of whole paths."""
        return Hyperparameter("alike", "numeric", BOUNDS)

    @property
    def hyperparameter_counts(self) -> Hyperparameter:
        """The weight of counts."""
        return Hyperparameter("counts", "numeric", BOUNDS)

    def __call__(self, X: Any, Y: Any = None, eval_gradient: bool = False) -> Any:
        """(N, M), and with `eval_gradient` its gradient by the logs of the weights (N, N, K)."""
        grams_NMK = self._weights * self._parts(X, X if Y is None else Y)
        return (grams_NMK.sum(axis=2), grams_NMK) if eval_gradient else grams_NMK.sum(axis=2)

    def diag(self, X: Any) -> NDArray[np.float64]:
        """(N,)."""
        return np.full(len(X), self._weights.sum())

    def is_stationary(self) -> bool:
        """It depends on differences alone."""
        return True

    @property
    def _weights(self) -> NDArray[np.float64]:
        # In the order of theta, which is that of the names.
        return np.array([self.additive, self.alike, self.counts])

    def _parts(self, X: Any, Y: Any) -> NDArray[np.float64]:
        places = self.places
        decisions = max(float(X[0, :places].sum()), 1.0)
        other_NM = cdist(X[:, :places], Y[:, :places], "cityblock") / (2.0 * decisions)
        counts_NM = cdist(X[:, places:], Y[:, places:], "sqeuclidean")
        return np.stack([1.0 - other_NM, np.exp(-4.0 * other_NM), np.exp(-8.0 * counts_NM)], axis=2)


class GaussianProcess:
    """A Model (model_based.py)."""

    def __init__(self, space: Space) -> None:
        self._encoding = Encoding(space)
        self._kernel: Any = None
        self._fits = 0

    def fit(self, paths: Sequence[Path], targets: NDArray[np.float64]) -> None:
        """All paths; the weights of the kernel stay as they are for TUNE_EVERY fits."""
        onehot, counts = self._encoding.of(paths)
        if self._kernel is None:
            self._kernel = PathKernel(onehot.shape[1]) + WhiteKernel(0.1, (1e-3, 1.0))
        tunes = self._fits % TUNE_EVERY == 0
        self._fits += 1
        self._process = GaussianProcessRegressor(self._kernel, optimizer="fmin_l_bfgs_b" if tunes else None)
        with warnings.catch_warnings():
            # A weight at its bound is an answer: that kernel says nothing.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(np.concatenate([onehot, counts], axis=1), targets)
        self._kernel = self._process.kernel_

    def predict(self, paths: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation."""
        mean_N, deviation_N = self._process.predict(self._encoding.all_of(paths), return_std=True)
        return mean_N, deviation_N


def gp_ei(space: Space, *, seed: int) -> ExpectedImprovement:
    """Expected improvement by this process."""
    return ExpectedImprovement(space, GaussianProcess(space), seed=seed)
