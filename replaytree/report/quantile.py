"""Quantiles of a few values."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between the order statistics, like numpy's default; `ordered` ascends and is not empty."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def without_far(ordered: Sequence[float]) -> tuple[float, float]:
    """The ends of what stands in ascending order, without the lowest 5 %, and those that are "far out" (Tukey).

    Far out are those more than 3 quartile ranges below the quartiles.
    """
    lower, upper = (quantile(ordered, share) for share in (0.25, 0.75))
    far = lower - 3.0 * (upper - lower)
    return next(each for each in ordered[len(ordered) // 20 :] if each >= far), ordered[-1]
