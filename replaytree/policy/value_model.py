"""The value model: a Gaussian process that says how high a prefix would rank in the tree, and how sure that is.

Every training labels all prefixes on its path, so a few trainings give many examples. Their targets are normal scores
(normal_scores.py), of which those below the median are raised to it: how bad a bad network is tells little about the
good ones. The noise of a target falls with the number of its trainings, so one lucky training is
not believed.

The kernel of two prefixes is a sum, whose parts say in which ways good prefixes may be alike:

* they differ in few places: exp(-differences / length);
* they have like layers, wherever these are: exp(-squared distance of counts / length);
* each place adds its share: the share of equal places;

all times exp(-difference of depth / length), because a prefix may tell little about its continuations. Between budgets
there is a linear trend.

The lengths, weights and the noise are powers of two. Each fit moves each of them by at most one step, to where the
marginal likelihood is higher (Rasmussen and Williams, 2006, equation 5.8), with weak priors and the scale of the
kernel at its optimum. scikit-learn's GaussianProcessRegressor has no such kernel, and its fit of as many parameters
takes 17 times as long (reports/benchmarks/strategies.md).

Shapes: E examples (a node at a budget), N prefixes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from replaytree import metric
from replaytree.policy.features import NO_LAYER, Array, Features, PathFeatures, joined
from replaytree.policy.node_table import NodeTable
from replaytree.policy.normal_scores import NormalScores
from replaytree.records import Path, Space
from replaytree.space.network import task_of

EXAMPLES = 200
# Of a linear trend in log2(epochs), and with it of the mean.
BUDGET_WEIGHT = 0.25
LEAST_VARIANCE = 1e-12
LEAST_DEVIATION = 1e-6
# Less is rounding, which differs from machine to machine.
LEAST_GAIN = 1e-6
# The diagonal grows by this, so that rounding leaves every kernel positive definite.
JITTER = 1e-8


@dataclass(frozen=True, slots=True)
class Prior:
    """Where log2 of a parameter starts, how far a deviation is, and its bounds."""

    start: float
    deviation: float
    low: float
    high: float


PRIORS = {
    "place_length": Prior(1.0, 2.0, -2.0, 5.0),
    "total_length": Prior(1.0, 2.0, -2.0, 5.0),
    "total_weight": Prior(-1.0, 4.0, -6.0, 3.0),
    "sum_weight": Prior(-1.0, 4.0, -6.0, 3.0),
    "depth_length": Prior(2.0, 2.0, -2.0, 6.0),
    "noise": Prior(-4.0, 3.0, -12.0, 1.0),
}
Parameters = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Normal scores of N prefixes: their means and deviations."""

    mean: Array
    deviation: Array


@dataclass(frozen=True, slots=True)
class _Distances:
    """Between two lists of prefixes: places and totals in layers that differ, depths in layers; products of budgets.

    `shared` is the share of equal places.
    """

    places: Array
    shared: Array
    totals: Array
    depths: Array
    budgets: Array


@dataclass(frozen=True, slots=True)
class _Posterior:
    """What E examples taught: K = L L^T of them, K^-1 y, and the variance by which the kernel is multiplied."""

    features: Features
    targets: Array
    noises: Array
    factor: tuple[Array, bool]
    weights: Array
    variance: float
    loss: float


class ValueModel:
    """See above. Its state is its parameters; all else follows from the tree."""

    def __init__(self, space: Space) -> None:
        self._features = PathFeatures(space)
        self._metric = metric.of(task_of(space))
        self._parameters = {name: prior.start for name, prior in PRIORS.items()}
        self._posterior: _Posterior | None = None
        self.paths: list[Path] = []
        """The prefixes among the examples of the last fit."""
        self.unit = 0.0
        """How much of the metric's value one score is, on average between the floor and the best."""

    def fit(self, table: NodeTable) -> None:
        """Learn from all evaluated nodes, at every budget; of many, from the best half and from others of every age.

        Where all are equally deep, no target is raised: these are whole paths, and few, and none is a mere beginning.
        """
        rows_E, epochs_E, averages_E, counts_E = table.examples()
        if not len(rows_E):
            return
        values_E = self._metric.values(averages_E)
        chosen = chosen_examples(values_E)
        self.paths = list(dict.fromkeys(table.paths(rows_E[chosen])))
        depths_E = (table.actions(rows_E) != NO_LAYER).sum(axis=1)
        floor = float(np.median(values_E) if np.ptp(depths_E) else values_E.min())
        scores_E = floored_scores(values_E, floor=floor)
        spread = float(scores_E.max() - scores_E.min())
        self.unit = (float(values_E.max()) - floor) / spread if spread else 0.0
        features = self._features.of(table.actions(rows_E[chosen]), epochs_E[chosen])
        distances = self._distances(features, features)
        learned = features, scores_E[chosen], 1.0 / counts_E[chosen]
        best = self._learned(distances, self._parameters, *learned)
        for name, prior in PRIORS.items():
            for step in (1.0, -1.0):
                moved = self._parameters | {name: self._parameters[name] + step}
                if prior.low <= moved[name] <= prior.high:
                    other = self._learned(distances, moved, *learned)
                    if other.loss < best.loss - LEAST_GAIN:
                        best, self._parameters = other, moved
                        break
        self._posterior = best

    def believe(self, prefixes: Sequence[Path], *, epochs: int) -> None:
        """Until the next fit, take prefixes that are being trained for measured, with the means predicted of them.

        Their neighbours are then worth less, so that paths trained at the same time differ (the "kriging believer" of
        Ginsbourger, Le Riche and Carraro, 2010).
        """
        if self._posterior is None or not prefixes:
            return
        known, more = self._posterior, self._read(prefixes, epochs)
        features = joined(known.features, more)
        targets = np.concatenate([known.targets, self.predicted(prefixes, epochs=epochs).mean])
        noises = np.concatenate([known.noises, np.ones(len(prefixes))])
        believed = self._learned(self._distances(features, features), self._parameters, features, targets, noises)
        self._posterior = replace(believed, variance=known.variance)

    def predicted(self, prefixes: Sequence[Path], *, epochs: int) -> Predicted:
        """The scores of prefixes at a budget, without the noise of a training."""
        own = self._posterior
        if own is None:
            return Predicted(np.zeros(len(prefixes)), np.ones(len(prefixes)))
        read = self._read(prefixes, epochs)
        kernel_NE = kernel(self._distances(read, own.features), self._parameters)
        solved_EN = solve_triangular(own.factor[0], kernel_NE.T, lower=True, check_finite=False)
        alone_N = 1.0 + BUDGET_WEIGHT * read.budgets**2
        variance_N = np.maximum(alone_N - (solved_EN**2).sum(axis=0), JITTER) * own.variance
        return Predicted(kernel_NE @ own.weights, np.sqrt(variance_N))

    def state(self) -> dict[str, float]:
        """The parameters."""
        return dict(self._parameters)

    def load_state(self, state: Mapping[str, float]) -> None:
        """The inverse of state."""
        self._parameters = {name: state[name] for name in PRIORS}
        self._posterior = None

    def _read(self, prefixes: Sequence[Path], epochs: int) -> Features:
        return self._features.of(self._features.padded(prefixes), np.full(len(prefixes), epochs))

    def _distances(self, one: Features, other: Features) -> _Distances:
        places = squared_distances(one.places, other.places) / (2.0 * self._features.decisions)
        return _Distances(
            places=places,
            shared=1.0 - places / self._features.max_layers,
            totals=squared_distances(one.totals, other.totals) / (2.0 * self._features.decisions),
            depths=np.abs(one.depths[:, None] - other.depths),
            budgets=one.budgets[:, None] * other.budgets,
        )

    def _learned(
        self, distances: _Distances, parameters: Parameters, features: Features, targets_E: Array, noises_E: Array
    ) -> _Posterior:
        """The posterior under some parameters, and its loss: -log marginal likelihood - log prior, less constants."""
        kernel_EE = kernel(distances, parameters)
        kernel_EE[np.diag_indices_from(kernel_EE)] += 2.0 ** parameters["noise"] * noises_E + JITTER
        factor = cho_factor(kernel_EE, lower=True, overwrite_a=True, check_finite=False)
        weights_E = cho_solve(factor, targets_E, check_finite=False)
        E = len(targets_E)
        variance = max(float(targets_E @ weights_E) / E, LEAST_VARIANCE)
        loss = 0.5 * E * math.log(variance) + float(np.log(np.diag(factor[0])).sum())
        loss += sum(0.5 * ((parameters[name] - p.start) / p.deviation) ** 2 for name, p in PRIORS.items())
        return _Posterior(features, targets_E, noises_E, factor, weights_E, variance, loss)


def kernel(distances: _Distances, parameters: Parameters) -> Array:
    """The kernel by the formulas above, 1 between a prefix and itself but for the trend of budgets."""
    size = {name: 2.0**value for name, value in parameters.items()}
    alike: Array = np.exp(-distances.places / size["place_length"])
    alike += size["total_weight"] * np.exp(-distances.totals / size["total_length"])
    alike += size["sum_weight"] * distances.shared
    alike *= np.exp(-distances.depths / size["depth_length"])
    alike /= 1.0 + size["total_weight"] + size["sum_weight"]
    alike += BUDGET_WEIGHT * distances.budgets
    return alike


def squared_distances(one_NF: npt.NDArray[np.float32], other_MF: npt.NDArray[np.float32]) -> Array:
    """(N, M), of whole numbers: exact."""
    squares_NM: npt.NDArray[np.float32] = (
        (one_NF**2).sum(axis=1)[:, None] + (other_MF**2).sum(axis=1) - 2.0 * one_NF @ other_MF.T
    )
    return squares_NM.astype(np.float64)


def floored_scores(values_E: Array, *, floor: float) -> Array:
    """Normal scores, those of values below the floor raised to its score, with a mean of 0 and a deviation of 1."""
    ranks = NormalScores(values_E)
    scores_E = np.maximum(ranks.scores(values_E), ranks.scores(np.array([floor])))
    standard_E: Array = (scores_E - scores_E.mean()) / max(float(scores_E.std()), LEAST_DEVIATION)
    return standard_E


def chosen_examples(values_E: Array) -> npt.NDArray[np.intp]:
    """The places of at most EXAMPLES examples: half of them the best, the others of every age, in order."""
    if len(values_E) <= EXAMPLES:
        return np.arange(len(values_E))
    order = np.argsort(-values_E, kind="stable")
    rest = np.sort(order[EXAMPLES // 2 :])
    spread = rest[np.linspace(0, len(rest) - 1, EXAMPLES - EXAMPLES // 2).astype(np.intp)]
    return np.sort(np.concatenate([order[: EXAMPLES // 2], spread]))
