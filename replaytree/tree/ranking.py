"""The bounds that rank prefixes, and confidence intervals of accuracies: from the noise of trainings and of images.

An accuracy has two sources of error. Trainings differ from seed to seed: among many prefixes that were trained once,
the best average is mostly luck, and one that holds after three trainings deserves more trust. And the validation images
are a sample: 180 of 180 right does not mean that all other images would be right.

The noise of a training is measured on the metric's scale: of an accuracy relative to its error 1 - a, because good
prefixes vary less from seed to seed than bad ones. One deviation in points for all would rank good prefixes by how
often they were trained (reports/benchmarks/strategies.md). Of text it is relative to the perplexity 1 / a.

All prefixes of a search are measured on the same images, so the sampling error changes no order. Rankings therefore use
`training_bound` alone, which an index can serve. People are shown `lower_bound`, which counts both errors.

For balanced accuracy and macro F1 (`--reward`) the images are counted all together, as for plain accuracy. That is
right where the classes have one size, and too optimistic where some are rare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.metric import ACCURACY, Z95, Metric
from replaytree.tree.records import Node

# Standard errors of `lower_bound`.
Z_BOUND = 1.0


def training_bound(average: float, count: int, *, noise: float | None, metric: Metric = ACCURACY) -> float:
    """One standard error below on the metric's scale: 1 - (1 - average) exp(noise / sqrt(count)).

    Of text average / exp(noise / sqrt(count)).

    `noise` is the deviation of the value of a single training, that is the relative one of its error or its perplexity;
    `count` the trainings of this prefix. The average itself where the noise is unknown; an accuracy is below 0 for a
    prefix that is hopeless.
    """
    return average if noise is None else metric.lowered(average, noise_factor(noise, count))


def noise_factor(noise: float, count: int) -> float:
    """How much larger error or perplexity may be than the average over `count` trainings: exp(noise / sqrt(count))."""
    # exp(700) is about the largest number there is; a noise like that is of a damaged database.
    return math.exp(min(noise / math.sqrt(count), 700.0))


def least_average(bound: float, count: int, *, noise: float | None, metric: Metric = ACCURACY) -> float:
    """The average from which on training_bound is at least `bound`: its inverse."""
    return bound if noise is None else metric.least(bound, noise_factor(noise, count))


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The sources of error of a search's accuracies at one budget; None: unknown.

    `noise` is the deviation of the value of a single training, `images` the number of validation images, or words.
    """

    noise: float | None = None
    images: int | None = None
    metric: Metric = ACCURACY

    def training_bound(self, average: float, count: int) -> float:
        """The bound that ranks; see the function of this name."""
        return training_bound(average, count, noise=self.noise, metric=self.metric)

    def lower_bound(self, average: float, count: int) -> float | None:
        """The bound that people see as "at least": one standard error of trainings lower, then one of images.

        None where neither is known.
        """
        interval = self.interval(average, count, z=Z_BOUND)
        return None if interval is None else interval[0]

    def interval(self, average: float, count: int, *, z: float = Z95) -> tuple[float, float] | None:
        """From the worse end of both to the better one, `z` standard errors each: wider than needed, never too narrow.

        The noise moves the average by z deviations either way on the metric's scale; the sampling error is taken at
        both ends. None where neither noise nor images are known.
        """
        if self.noise is None and self.images is None:
            return None
        low = high = min(max(average, 0.0), 1.0)
        if self.noise is not None:
            factor = noise_factor(z * self.noise, count)
            low, high = max(self.metric.lowered(average, factor), 0.0), self.metric.raised(average, factor)
        if self.images is not None:
            sampling = self.metric.sampling
            low, high = sampling(low, self.images, z=z)[0], sampling(high, self.images, z=z)[1]
        return low, high


def relative_squares(average: float, squares: float, metric: Metric = ACCURACY) -> float:
    """Squared deviations from an average, relative to its error, or of text to itself: about those of the values.

    The share of one prefix in the noise estimate.
    """
    return squares / metric.unit(average) ** 2


def added_squares(count: int, total: float, accuracies: Sequence[float]) -> float:
    """By how much the squared deviations of a prefix grow when `accuracies` join `count` earlier ones of sum `total`.

    m values of sum V: sum_j (a_j - V/m)^2 + (total/count - V/m)^2 count m / (count + m) (Chan et al., 1979).
    """
    m = len(accuracies)
    mean = math.fsum(accuracies) / m
    within = math.fsum((accuracy - mean) ** 2 for accuracy in accuracies)
    return within + ((total / count - mean) ** 2 * count * m / (count + m) if count else 0.0)


def rank(node: Node) -> tuple[float, float, bool, int, int]:
    """A sort key, best first: training bound, average, fewer parameters, older."""
    assert node.average_accuracy is not None, "only evaluated nodes are ranked"
    assert node.training_bound is not None, "only evaluated nodes are ranked"
    return -node.training_bound, -node.average_accuracy, node.params is None, node.params or 0, node.node_id
