"""The accuracy of models that were trained with several seeds: its mean, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from replaytree import metric
from replaytree.tree.ranking import wilson

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MeanAccuracy:
    """The mean of one accuracy a seed, all of the same images; both intervals are of 95 %.

    `of_seeds` says where the mean of other seeds would lie on these images: Student's, None for a single seed.
    `of_images` says where the mean of these models would lie on other images: Wilson's, None where the number of images
    is unknown.
    """

    values: tuple[float, ...]
    images: int | None

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over the seeds; None for one seed."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def of_seeds(self) -> Interval | None:
        """Counts the seeds alone."""
        return mean_interval(self.values)

    @property
    def of_images(self) -> Interval | None:
        """Counts the images alone."""
        return None if self.images is None else wilson(self.mean, self.images)

    @property
    def interval(self) -> Interval | None:
        """Counts what is known of both, as independent: the distances of either end add up as squares do."""
        known = [each for each in (self.of_seeds, self.of_images) if each is not None]
        if not known:
            return None
        down = math.hypot(*(self.mean - low for low, _ in known))
        up = math.hypot(*(high - self.mean for _, high in known))
        return max(0.0, self.mean - down), min(1.0, self.mean + up)

    @property
    def interval_text(self) -> str:
        """'95 % interval 0.66 to 0.79 (seeds alone: 0.71 to 0.75; 300 images alone: 0.67 to 0.78)'."""
        if self.interval is None:
            return "95 % interval unknown (one seed, and the number of images was not stored)"
        seeds, images = self.of_seeds, self.of_images
        parts = [
            "one seed: other seeds may differ more" if seeds is None else f"seeds alone: {_shown(seeds)}",
            "the number of images was not stored, so their sampling error is not in it"
            if images is None
            else f"{self.images:,} images alone: {_shown(images)}"
            if seeds is not None
            else f"of {self.images:,} images",
        ]
        return f"95 % interval {_shown(self.interval)} ({'; '.join(parts if seeds else reversed(parts))})"


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    from scipy.special import stdtrit  # here, because `list` and `best` need not wait for it

    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return max(0.0, fmean(values) - half), min(1.0, fmean(values) + half)


def _shown(interval: Interval) -> str:
    return f"{metric.shown(interval[0])} to {metric.shown(interval[1])}"
