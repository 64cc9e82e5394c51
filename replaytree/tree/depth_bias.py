"""Depth calibration: how much higher a head of a joint training reads than a training of the same prefix by itself.

In a joint training, shallow prefixes read low (their features serve later layers) and deep ones high (they are
supervised at every layer), so accuracies of different depths cannot be compared. A few prefixes are therefore also
trained by themselves. Each gives a pair, x_i = joint - separate, at a depth d_i and a budget of e_i epochs. The bias
b(d, e) is estimated from all pairs by Gaussian process regression (Rasmussen and Williams, 2006, section 2.2), that is,
by shrinkage to 0 and smoothing over depth and budget:

    k((d, e), (d', e')) = (LEVEL + SLOPE min(log2 d, log2 d')) 2^-|log2 e / e'|
    b(d, e) = k^T (K + I)^-1 x
    variance = s^2 (k((d, e), (d, e)) - k^T (K + I)^-1 k),  s^2 = (n0 s0^2 + x^T (K + I)^-1 x) / (n0 + n)

K is the kernel among the pairs, k that between them and (d, e). All is in units of s^2, the variance of one pair around
the bias, which is learnt with a prior of n0 pairs of variance s0^2. The kernel is a random walk from layer to doubled
layer: a depth without pairs reads as its neighbours do, and beyond the deepest pair the bias stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replaytree.errors import ConfigError

# NumPy is imported where it is used: it takes 0.1 s, and reading a tree needs none of it.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 1.0
SLOPE = 1.0
PRIOR_DEVIATION = 0.05
PRIOR_PAIRS = 2.0

Point = tuple[int, int]
"""(depth in layers, epochs of the joint training)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One prefix, measured by a head of a joint training and by a training of its own; accuracies in [0, 1]."""

    depth: int
    epochs: int
    joint: float
    separate: float


@dataclass(frozen=True, slots=True)
class Bias:
    """The estimate at one depth and budget, and its standard deviation; both in accuracy."""

    value: float
    deviation: float


def estimate(pairs: Sequence[Pair], points: Sequence[Point]) -> list[Bias]:
    """The bias at each point; without pairs it is 0, as uncertain as the prior. See the formula above."""
    import numpy as np

    observed = [(pair.depth, pair.epochs) for pair in pairs]
    biases_N = np.array([pair.joint - pair.separate for pair in pairs])
    kernel_PN = _kernel(points, observed)
    inverse_NN = _inverse(observed)
    values_P = kernel_PN @ inverse_NN @ biases_N
    variance = (PRIOR_PAIRS * PRIOR_DEVIATION**2 + float(biases_N @ inverse_NN @ biases_N)) / (PRIOR_PAIRS + len(pairs))
    spreads_P = np.diag(_kernel(points, points)) - ((kernel_PN @ inverse_NN) * kernel_PN).sum(axis=1)
    return [
        Bias(float(value), math.sqrt(variance * max(float(spread), 0.0)))
        for value, spread in zip(values_P, spreads_P, strict=True)
    ]


def most_telling_depth(measured: Sequence[Point], costs: Sequence[float], *, epochs: int, beyond: int = 0) -> int:
    """The depth in beyond + 1..T whose separate training would take most variance from b(1), ..., b(T) for its cost.

    `costs[d - 1]` is the cost of depth d in any unit, over 0. A training at d takes cov(d', d)^2 / (var(d) + s^2) from
    the variance at d' (the same Gaussian process, given the points `measured`); this sum over d', divided by the cost,
    is greatest. Ties go to the shallower. `beyond` is less than T.
    """
    import numpy as np

    if not costs or min(costs) <= 0:
        raise ConfigError(f"costs are {list(costs)}; give one number over 0 for each depth")
    points = [(depth, epochs) for depth in range(1, len(costs) + 1)]
    kernel_TN = _kernel(points, measured)
    covariance_TT = _kernel(points, points) - kernel_TN @ _inverse(measured) @ kernel_TN.T
    gains_T = (covariance_TT**2).sum(axis=0) / (np.diag(covariance_TT) + 1.0)
    worth_T = np.round(gains_T / np.asarray(costs, dtype=float), 12)
    return 1 + beyond + int(np.argmax(worth_T[beyond:]))


def _inverse(points: Sequence[Point]) -> NDArray[np.float64]:
    """(K + I)^-1 among N points."""
    import numpy as np

    return np.asarray(np.linalg.inv(_kernel(points, points) + np.eye(len(points))), dtype=np.float64)


def _kernel(left: Sequence[Point], right: Sequence[Point]) -> NDArray[np.float64]:
    import numpy as np

    depths_L, epochs_L = _logs(left)
    depths_R, epochs_R = _logs(right)
    walk_LR = LEVEL + SLOPE * np.minimum(depths_L[:, None], depths_R[None, :])
    return np.asarray(walk_LR * 2.0 ** -np.abs(epochs_L[:, None] - epochs_R[None, :]))


def _logs(points: Sequence[Point]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    values_P2 = np.log2(np.array(points, dtype=float).reshape(-1, 2))
    return values_P2[:, 0], values_P2[:, 1]
