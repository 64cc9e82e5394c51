"""What models that were trained with several seeds came to: the mean, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from replaytree.metric import ACCURACY, Metric

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MeanAccuracy:
    """The mean of one accuracy a seed, all of the same images; both intervals are of 95 %.

    `values` are fractions, all else is in the numbers that people read: of text, perplexities.
    `of_seeds` says where the mean of other seeds would lie on these images: Student's, None for a single seed.
    `of_images` says where the mean of these models would lie on other images: Wilson's, None where the number of images
    is unknown.
    """

    values: tuple[float, ...]
    images: int | None
    metric: Metric = ACCURACY

    @property
    def numbers(self) -> tuple[float, ...]:
        """The values as people read them."""
        return tuple(map(self.metric.number, self.values))

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return fmean(self.numbers)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over the seeds; None for one seed."""
        return stdev(self.numbers) if len(self.values) > 1 else None

    @property
    def of_seeds(self) -> Interval | None:
        """Counts the seeds alone."""
        return None if len(self.values) < 2 else self._within(mean_interval(self.numbers))

    @property
    def of_images(self) -> Interval | None:
        """Counts the images alone."""
        if self.images is None:
            return None
        ends = map(self.metric.number, self.metric.sampling(self.metric.fraction(self.mean), self.images))
        low, high = sorted(ends)
        return low, high

    @property
    def interval(self) -> Interval | None:
        """Counts what is known of both, as independent: the distances of either end add up as squares do."""
        known = [each for each in (self.of_seeds, self.of_images) if each is not None]
        if not known:
            return None
        down = math.hypot(*(self.mean - low for low, _ in known))
        up = math.hypot(*(high - self.mean for _, high in known))
        return self._within((self.mean - down, self.mean + up))

    @property
    def interval_text(self) -> str:
        """'95 % interval 0.66 to 0.79 (seeds alone: 0.71 to 0.75; 300 images alone: 0.67 to 0.78)'."""
        if self.interval is None:
            return f"95 % interval unknown (one seed, and the number of {self.metric.items} was not stored)"
        seeds, images = self.of_seeds, self.of_images
        parts = [
            "one seed: other seeds may differ more" if seeds is None else f"seeds alone: {self._shown(seeds)}",
            f"the number of {self.metric.items} was not stored, so their sampling error is not in it"
            if images is None
            else f"{self.images:,} {self.metric.items} alone: {self._shown(images)}"
            if seeds is not None
            else f"of {self.images:,} {self.metric.items}",
        ]
        return f"95 % interval {self._shown(self.interval)} ({'; '.join(parts if seeds else reversed(parts))})"

    def _within(self, interval: Interval) -> Interval:
        """No accuracy is outside of [0, 1], and no perplexity below 1."""
        least, most = (1.0, math.inf) if self.metric.is_inverse else (0.0, 1.0)
        return max(least, interval[0]), min(most, interval[1])

    def _shown(self, interval: Interval) -> str:
        return f"{self.metric.written(interval[0])} to {self.metric.written(interval[1])}"


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's 95 % interval of a mean of at least two values."""
    from scipy.special import stdtrit  # here, because `list` and `best` need not wait for it

    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half
