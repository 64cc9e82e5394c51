"""What ranks prefixes, and how sure an accuracy is: confidence bounds from the noise of trainings and of images.

Two things blur an accuracy. Trainings differ from seed to seed: among many prefixes that were trained once, the best
average is mostly luck, and one that holds after three trainings deserves more trust. And the validation images are a
sample: 180 of 180 right does not mean that all others would be.

The noise of a training is measured relative to its error 1 - a: on the digits table a prefix of 2 % error moves by 0.4
points from seed to seed and one of 33 % by 2.7, so that a single deviation in points, pooled over both, would rank by
counts among the good ones (random search, 60 seeds, regret after 50 and 100 trainings: 0.85, 0.75 with one deviation
in points, 0.72, 0.50 relative to the error).

All prefixes of a search see the same images, so the sampling error changes no order: rankings go by `training_bound`
alone, which an index can be read by, and people are shown `lower_bound`, which counts both.

For balanced accuracy (`--reward balanced`) the images are counted as for plain accuracy, all together: right where the
classes are of one size, and too sure of itself where some are rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.tree.records import Node

# An error of 0 is 1e-4 to the noise: a network that is right everywhere still has been lucky.
LEAST_ERROR = 1e-4

# Standard errors of `lower_bound`, and of a 95 % interval.
Z_BOUND = 1.0
Z95 = 1.959963984540054


def training_bound(average: float, count: int, *, noise: float | None) -> float:
    """1 - (1 - average) exp(noise / sqrt(count)): one standard error below on the scale -log(1 - accuracy).

    `noise` is the relative deviation of the error of a single training, `count` the trainings of this prefix. The
    average itself where the noise is unknown; below 0 for a prefix that is hopeless.
    """
    return average if noise is None else 1.0 - max(1.0 - average, LEAST_ERROR) * noise_factor(noise, count)


def noise_factor(noise: float, count: int) -> float:
    """How much larger the error may be than its average over `count` trainings: exp(noise / sqrt(count))."""
    # exp(700) is about the largest number there is; a noise like that is of a damaged database.
    return math.exp(min(noise / math.sqrt(count), 700.0))


def least_average(bound: float, count: int, *, noise: float | None) -> float:
    """The average from which on training_bound is at least `bound`: its inverse."""
    return bound if noise is None else 1.0 - (1.0 - bound) / noise_factor(noise, count)


def wilson(share: float, n: int, *, z: float = Z95) -> tuple[float, float]:
    """The score interval of a binomial share (E. B. Wilson, 1927): never outside [0, 1], sound near 1.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    if n < 1 or not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share} and n is {n}; the share must be in [0, 1] and n at least 1")
    z2 = z * z
    half = z * math.sqrt(share * (1.0 - share) / n + z2 / (4.0 * n * n))
    middle = share + z2 / (2.0 * n)
    return max(0.0, (middle - half) / (1.0 + z2 / n)), min(1.0, (middle + half) / (1.0 + z2 / n))


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What blurs the accuracies of a search at one budget; None: unknown.

    `noise` is the relative deviation of the error of a single training, `images` the number of validation images.
    """

    noise: float | None = None
    images: int | None = None

    def training_bound(self, average: float, count: int) -> float:
        """What ranks; see the function of this name."""
        return training_bound(average, count, noise=self.noise)

    def lower_bound(self, average: float, count: int) -> float | None:
        """What people are shown as "at least": one standard error of trainings, then one of images.

        None where neither is known.
        """
        interval = self.interval(average, count, z=Z_BOUND)
        return None if interval is None else interval[0]

    def interval(self, average: float, count: int, *, z: float = Z95) -> tuple[float, float] | None:
        """From the worse end of both to the better one, `z` standard errors each: wider than needed, never too narrow.

        The noise moves the average by z deviations either way on the scale -log(1 - accuracy); Wilson's interval is
        taken at both ends. None where neither noise nor images are known.
        """
        if self.noise is None and self.images is None:
            return None
        low = high = min(max(average, 0.0), 1.0)
        if self.noise is not None:
            error, factor = max(1.0 - average, LEAST_ERROR), noise_factor(z * self.noise, count)
            low, high = max(1.0 - error * factor, 0.0), min(max(1.0 - error / factor, average), 1.0)
        if self.images is not None:
            low, high = wilson(low, self.images, z=z)[0], wilson(high, self.images, z=z)[1]
        return low, high


def relative_squares(average: float, squares: float) -> float:
    """Squared deviations from an average, relative to its error: what a repeated prefix tells of the noise."""
    return squares / max(1.0 - average, LEAST_ERROR) ** 2


def added_squares(count: int, total: float, accuracies: Sequence[float]) -> float:
    """By how much the squared deviations of a prefix grow when `accuracies` join `count` earlier ones of sum `total`.

    m values of sum V: sum_j (a_j - V/m)^2 + (total/count - V/m)^2 count m / (count + m) (Chan et al., 1979).
    """
    m = len(accuracies)
    mean = math.fsum(accuracies) / m
    within = math.fsum((accuracy - mean) ** 2 for accuracy in accuracies)
    return within + ((total / count - mean) ** 2 * count * m / (count + m) if count else 0.0)


def rank(node: Node) -> tuple[float, float, bool, int, int]:
    """A sort key, best first: training bound, calibrated average, fewer parameters, older."""
    assert node.calibrated_accuracy is not None, "only evaluated nodes are ranked"
    assert node.training_bound is not None, "only evaluated nodes are ranked"
    return -node.training_bound, -node.calibrated_accuracy, node.params is None, node.params or 0, node.node_id
