"""Normal scores: measured values replaced by the normal quantiles of their ranks (van der Waerden, 1952).

Accuracies are crowded: half of a space may be at chance, and the good ones lie within a point of one another, where a
least squares fit sees almost no difference. Ranks spread them evenly, whatever the images and the budget. Salinas, Shen
and Perrone (2020) transform the measurements of several data sets in the same way.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Values = npt.NDArray[np.float64]

LEAST_DEVIATION = 1e-3


class NormalScores:
    """The map between some values and their scores: monotone, and linear between and beyond the values.

    Beyond the values, one score more is one standard deviation more. Without values the map is the identity.
    """

    def __init__(self, values_N: Values) -> None:
        self._values_K, counts_K = np.unique(values_N, return_counts=True)
        # Equal values share the middle of their ranks; of N values, rank r is the quantile (r - 1/2) / N.
        ranks_K = np.cumsum(counts_K) - (counts_K - 1) / 2.0
        quantiles_K = (ranks_K - 0.5) / max(1, len(values_N))
        self._scores_K: Values = torch.special.ndtri(torch.from_numpy(quantiles_K)).numpy()
        self._deviation = max(float(values_N.std()), LEAST_DEVIATION) if len(values_N) else 1.0

    def scores(self, values: Values) -> Values:
        """The scores of values."""
        return _mapped(values, self._values_K, self._scores_K, slope=1.0 / self._deviation)

    def values(self, scores: Values) -> Values:
        """The values of scores: the inverse."""
        return _mapped(scores, self._scores_K, self._values_K, slope=self._deviation)


def _mapped(inputs: Values, from_K: Values, to_K: Values, *, slope: float) -> Values:
    if not len(from_K):
        return inputs
    beyond = inputs - np.clip(inputs, from_K[0], from_K[-1])
    mapped: Values = np.interp(inputs, from_K, to_K) + slope * beyond
    return mapped
