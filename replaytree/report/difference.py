"""Whether two accuracies differ: differences with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from replaytree.report.leading import Leader
from replaytree.tree import Z95


@dataclass(frozen=True, slots=True)
class Difference:
    """`value` is the first less the second, in accuracy; the interval is None if the errors are unknown."""

    value: float
    interval: tuple[float, float] | None

    @property
    def sign(self) -> int:
        """1 or -1 if the interval shows which is better, else 0."""
        if self.interval is None:
            return 0
        return (self.interval[0] > 0.0) - (self.interval[1] < 0.0)


def between(first: Leader, second: Leader) -> Difference:
    """Two prefixes, each with its own interval (R. G. Newcombe, 1998, method 10).

    d - sqrt((p1 - l1)^2 + (u2 - p2)^2) to d + sqrt((u1 - p1)^2 + (p2 - l2)^2). That both were measured on the same
    images would narrow it, but which image each got right is not stored.
    """
    value = first.accuracy - second.accuracy
    one, other = first.interval, second.interval
    if one is None or other is None:
        return Difference(value, None)
    down = math.hypot(first.accuracy - one[0], other[1] - second.accuracy)
    up = math.hypot(one[1] - first.accuracy, second.accuracy - other[0])
    return Difference(value, (value - down, value + up))


def over_seeds(first: Sequence[Leader], second: Sequence[Leader], *, paired: bool) -> Difference:
    """Two groups of searches that differ in the seed: the mean difference and Student's interval, paired or Welch's.

    Seeds may share their validation images and so the error of that sample, which more seeds do not reduce. It is
    added to Student's interval as independent. If a group is one search, the widest of the single intervals is taken.
    """
    if len(first) == 1 or len(second) == 1:
        pairs = [between(one, other) for one in first for other in second]
        value = fmean(pair.value for pair in pairs)
        known = [(pair.value, *pair.interval) for pair in pairs if pair.interval is not None]
        if len(known) < len(pairs):
            return Difference(value, None)
        down, up = max(v - low for v, low, _ in known), max(high - v for v, _, high in known)
        return Difference(value, (value - down, value + up))
    groups = [[leader.accuracy for leader in group] for group in (first, second)]
    if paired:
        differences = [one - other for one, other in zip(*groups, strict=True)]
        seeds = float(stdtrit(len(differences) - 1, 0.975)) * stdev(differences) / math.sqrt(len(differences))
    else:
        seeds = welch_half(*groups)
    half = math.hypot(seeds, _sampling(first, second))
    value = fmean(groups[0]) - fmean(groups[1])
    return Difference(value, (value - half, value + half))


def welch_half(first: Sequence[float], second: Sequence[float], *, level: float = 0.95, comparisons: int = 1) -> float:
    """Half the width of Welch's interval of a difference of means; of so many comparisons, all hold at the level.

    t sqrt(s1^2/n1 + s2^2/n2), with Welch's and Satterthwaite's degrees of freedom, and Bonferroni's share of 1 - level
    for each comparison.
    """
    parts = [stdev(values) ** 2 / len(values) for values in (first, second)]
    weights = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True))
    if not weights:
        return 0.0
    chance = 1.0 - (1.0 - level) / (2.0 * comparisons)
    return float(stdtrit(sum(parts) ** 2 / weights, chance)) * math.sqrt(sum(parts))


def _sampling(first: Sequence[Leader], second: Sequence[Leader]) -> float:
    """The half width that comes from the images, as if all seeds shared them."""
    images = [leader.known.images for leader in (*first, *second)]
    if any(count is None for count in images):
        return 0.0
    shares = [fmean(leader.accuracy for leader in group) for group in (first, second)]
    least = min(count for count in images if count is not None)
    return Z95 * math.sqrt(sum(share * (1.0 - share) for share in shares) / least)


def difference_text(found: Difference) -> str:
    """'1.7 points, 95 % interval -1.2 to 4.6'."""
    value = f"{100.0 * found.value:+.1f} points".replace("-", "\N{MINUS SIGN}")
    if found.interval is None:
        return f"{value}; how far luck reaches is unknown, with neither images nor repeated trainings to tell it by"
    low, high = (f"{100.0 * end:+.1f}".replace("-", "\N{MINUS SIGN}") for end in found.interval)
    return f"{value}, 95 % interval {low} to {high}"
