"""Whether two accuracies or perplexities differ: differences with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from replaytree.metric import ACCURACY, Z95, Metric
from replaytree.report.leading import Leader
from replaytree.tree import MeanAccuracy


@dataclass(frozen=True, slots=True)
class Difference:
    """`value` is the first less the second, in the numbers that people read (metric.py): of text, in perplexity.

    The interval is None if the errors are unknown.
    """

    value: float
    interval: tuple[float, float] | None
    metric: Metric = ACCURACY

    @property
    def sign(self) -> int:
        """1 if the interval shows that the first is better, -1 if the second is, else 0."""
        if self.interval is None:
            return 0
        return self.metric.direction * ((self.interval[0] > 0.0) - (self.interval[1] < 0.0))

    @property
    def brief(self) -> str:
        """'+1.7 (−1.2 to +4.6)'."""
        value = self.metric.signed(self.value)
        return value if self.interval is None else f"{value} ({' to '.join(map(self.metric.signed, self.interval))})"

    @property
    def text(self) -> str:
        """'+1.7 points, 95 % interval −1.2 to +4.6'."""
        value = f"{self.metric.signed(self.value)} {self.metric.difference_unit}"
        if self.interval is None:
            return (
                f"{value}; how far luck reaches is unknown, with neither {self.metric.items} nor repeated trainings to "
                f"tell it by"
            )
        low, high = map(self.metric.signed, self.interval)
        return f"{value}, 95 % interval {low} to {high}"


def between(first: Leader, second: Leader) -> Difference:
    """Two prefixes, each with its own interval (R. G. Newcombe, 1998, method 10).

    d - sqrt((p1 - l1)^2 + (u2 - p2)^2) to d + sqrt((u1 - p1)^2 + (p2 - l2)^2). That both were measured on the same
    images would narrow it, but which image each got right is not stored.
    """
    metric = first.known.metric
    p1, p2 = (metric.number(each.accuracy) for each in (first, second))
    if first.interval is None or second.interval is None:
        return Difference(p1 - p2, None, metric)
    (l1, u1), (l2, u2) = (sorted(map(metric.number, each)) for each in (first.interval, second.interval))
    return Difference(p1 - p2, _newcombe(p1, (l1, u1), p2, (l2, u2)), metric)


def over_models(first: MeanAccuracy, second: MeanAccuracy) -> Difference:
    """Two trained networks, of one or more seeds each, on images of one number.

    Of several seeds each: Welch's interval, with the sampling error of the images added as independent. Else both have
    their own intervals, as in `between`; of one seed that counts the images alone. That both were measured on the same
    images would narrow it, but which image each got right is not stored.
    """
    metric = first.metric
    p1, p2 = first.mean, second.mean
    if len(first.values) > 1 and len(second.values) > 1:
        seeds = welch_half(first.numbers, second.numbers)
        half = math.hypot(seeds, _images_half(first), _images_half(second))
        return Difference(p1 - p2, (p1 - p2 - half, p1 - p2 + half), metric)
    if first.interval is None or second.interval is None:
        return Difference(p1 - p2, None, metric)
    return Difference(p1 - p2, _newcombe(p1, first.interval, p2, second.interval), metric)


def _images_half(mean: MeanAccuracy) -> float:
    """The half width that comes from the images; 0 where their number is unknown."""
    if mean.images is None:
        return 0.0
    metric = mean.metric
    return Z95 * math.sqrt(metric.variance(metric.fraction(mean.mean)) / mean.images)


def _newcombe(p1: float, first: tuple[float, float], p2: float, second: tuple[float, float]) -> tuple[float, float]:
    """The interval of p1 - p2 from those of p1 and p2."""
    (l1, u1), (l2, u2) = first, second
    return p1 - p2 - math.hypot(p1 - l1, u2 - p2), p1 - p2 + math.hypot(u1 - p1, p2 - l2)


def over_seeds(first: Sequence[Leader], second: Sequence[Leader], *, paired: bool) -> Difference:
    """Two groups of searches that differ in the seed: the mean difference and Student's interval, paired or Welch's.

    Seeds may share their validation images and so the error of that sample, which more seeds do not reduce. It is
    added to Student's interval as independent. If a group is one search, the widest of the single intervals is taken.
    """
    metric = first[0].known.metric
    if len(first) == 1 or len(second) == 1:
        pairs = [between(one, other) for one in first for other in second]
        value = fmean(pair.value for pair in pairs)
        known = [(pair.value, *pair.interval) for pair in pairs if pair.interval is not None]
        if len(known) < len(pairs):
            return Difference(value, None, metric)
        down, up = max(v - low for v, low, _ in known), max(high - v for v, _, high in known)
        return Difference(value, (value - down, value + up), metric)
    groups = [[metric.number(leader.accuracy) for leader in group] for group in (first, second)]
    if paired:
        differences = [one - other for one, other in zip(*groups, strict=True)]
        seeds = float(stdtrit(len(differences) - 1, 0.975)) * stdev(differences) / math.sqrt(len(differences))
    else:
        seeds = welch_half(*groups)
    half = math.hypot(seeds, _sampling(first, second))
    value = fmean(groups[0]) - fmean(groups[1])
    return Difference(value, (value - half, value + half), metric)


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
    metric = first[0].known.metric
    means = [metric.fraction(fmean(metric.number(leader.accuracy) for leader in group)) for group in (first, second)]
    least = min(count for count in images if count is not None)
    return Z95 * math.sqrt(sum(metric.variance(mean) for mean in means) / least)
