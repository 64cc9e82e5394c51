"""What ranks prefixes: a lower confidence bound of their accuracy.

Among many prefixes that were trained once, the best average is mostly luck, and one that holds after three trainings
deserves more trust. The noise of a training is measured relative to its error 1 - a: on the digits table a prefix of
2 % error moves by 0.4 points from seed to seed and one of 33 % by 2.7, so that a single deviation in points, pooled
over both, would rank by counts among the good ones (random search, 60 seeds, regret after 50 and 100 trainings:
0.85, 0.75 with one deviation in points, 0.72, 0.50 relative to the error).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from replaytree.tree.records import Node

# An error of 0 is 1e-4 to the noise: a network that is right everywhere still has been lucky.
LEAST_ERROR = 1e-4


def lower_bound(average: float, count: int, *, noise: float | None) -> float | None:
    """1 - (1 - average) exp(noise / sqrt(count)): one standard error below on the scale -log(1 - accuracy).

    `noise` is the relative deviation of the error of a single training, `count` the trainings of this prefix. None
    where the noise is unknown.
    """
    return None if noise is None else 1.0 - max(1.0 - average, LEAST_ERROR) * math.exp(noise / math.sqrt(count))


def least_average(bound: float, count: int, *, noise: float | None) -> float:
    """The average from which on lower_bound is at least `bound`: its inverse."""
    return bound if noise is None else 1.0 - (1.0 - bound) * math.exp(-noise / math.sqrt(count))


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
    """A sort key, best first: lower bound (or calibrated average), calibrated average, fewer parameters, older."""
    assert node.calibrated_accuracy is not None, "only evaluated nodes are ranked"
    bound = node.calibrated_accuracy if node.lower_bound is None else node.lower_bound
    return -bound, -node.calibrated_accuracy, node.params is None, node.params or 0, node.node_id
