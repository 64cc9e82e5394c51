"""The metric: what a training is measured by, how its differences are weighed, and how it is printed.

It is a fraction in [0, 1], higher is better, and None where nothing was measured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME = "accuracy"

# Errors are read as at least this: a network without any was partly lucky, and its value would be infinite.
LEAST_ERROR = 1e-4

# Four decimals: one image in 10,000. The spelling is Python's and that of Plotly's hover texts.
FORMAT = ".4f"


def error(accuracy: float) -> float:
    """The share of wrong answers, 1 - accuracy, but at least LEAST_ERROR."""
    return max(1.0 - accuracy, LEAST_ERROR)


def value(accuracy: float) -> float:
    """-log(error), in nats: from 0 for an accuracy of 0 to 9.21 for 1.

    Differences of values are ratios of errors: a step from 0.98 to 0.99 weighs as much as one from 0.8 to 0.9.
    """
    return -math.log(error(accuracy))


def values(accuracies_N: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The value of each of N accuracies."""
    import numpy as np  # here, because commands that print accuracies need not wait for it

    values_N: npt.NDArray[np.float64] = -np.log(np.maximum(1.0 - accuracies_N, LEAST_ERROR))
    return values_N


def shown(accuracy: float | None, *, unknown: str = "-") -> str:
    """0.98765 -> '0.9877'; None -> `unknown`."""
    return unknown if accuracy is None else f"{accuracy:{FORMAT}}"


def rounded(accuracy: float) -> str:
    """0.98765 -> '0.988': for a sentence that has one figure."""
    return f"{accuracy:.3f}"


def points(difference: float) -> str:
    """The difference of two accuracies in percentage points: 0.0123 -> '1.2 points'."""
    return f"{100.0 * difference:.1f} points"
