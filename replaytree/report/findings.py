"""Headings that state the finding: a sentence from the rows of each section."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from replaytree.report.answer import Answer, RandomComparison
from replaytree.report.depth import DepthRow
from replaytree.report.difference import Difference, welch_half
from replaytree.report.effects import EffectRow, FollowRow
from replaytree.report.history import HistoryRow
from replaytree.report.pareto import ParetoRow
from replaytree.report.reading import kind_of

LEAST_TRAININGS = 3
"""A layer's effect is put into a heading only where it rests on at least this many trainings."""


def answer_finding(found: Answer) -> str:
    """'Best: 0.989 after 8 layers'."""
    return f"Best: {found.accuracy:.3f} after {layers(len(found.steps))}"


def basis(found: Answer) -> str:
    """The basis of the interval, in a few words."""
    parts = [f"n = {found.images:,} validation images"] if found.images else []
    if found.noise is not None:
        parts.append(counted(found.evaluation_count, "training"))
    return ", ".join(parts) or "neither images nor repeated trainings"


def what_counts(found: Answer) -> str:
    """What bound and interval count, as a part of a sentence."""
    images = f"the sampling error of {found.images:,} validation images (Wilson’s interval)" if found.images else ""
    if found.noise is None:
        return f"{images or 'nothing yet'}, but not chance in training: no prefix was trained twice"
    noise = f"chance in training (trained again, a prefix’s error rate changes by about {found.noise:.0%} of its value)"
    return f"{noise} and {images}" if images else noise


def random_finding(found: RandomComparison) -> str:
    """The comparison with random search after the same trainings; a claim only if the interval supports it."""
    trainings = counted(found.trainings, "training")
    if found.companion is None:
        return "This search is random search itself"
    if found.caution:
        return "No fair comparison with random search"
    if not found.difference.sign:
        return f"Not told apart from random search after the same {trainings}"
    better = "better" if found.difference.sign > 0 else "worse"
    return f"{points(abs(found.difference.value))} {better} than random search after the same {trainings}"


def difference_text(found: Difference) -> str:
    """'1.7 points, 95 % interval -1.2 to 4.6'."""
    value = f"{100.0 * found.value:+.1f} points".replace("-", "\N{MINUS SIGN}")
    if found.interval is None:
        return f"{value}; how far luck reaches is unknown, with neither images nor repeated trainings to tell it by"
    low, high = (f"{100.0 * end:+.1f}".replace("-", "\N{MINUS SIGN}") for end in found.interval)
    return f"{value}, 95 % interval {low} to {high}"


def tree_finding(node_count: int, deepest: int) -> str:
    """The size of the tree."""
    return f"{counted(node_count, 'prefix', 'prefixes')} kept, up to {layers(deepest)} deep"


def history_finding(rows: Sequence[HistoryRow]) -> str:
    """The training since which the best prefix has been ranked first."""
    leader = rows[-1].leader if rows else None
    if leader is None:
        return "No training has measured anything yet"
    last_other = max((place for place, row in enumerate(rows) if row.leader != leader), default=-1)
    trained = sum(row.trained for row in rows[: last_other + 2])
    total = sum(row.trained for row in rows)
    return f"The best prefix has been ranked first since the {ordinal(trained)} of {counted(total, 'training')}"


def depth_finding(rows: Sequence[DepthRow]) -> str:
    """The best number of layers, and the result of deeper prefixes."""
    if not rows:
        return "No prefix was measured at the largest budget yet"
    best = next(row for row in rows if row.leads)
    deepest = rows[-1]
    text = f"{layers(best.depth)} gave the best prefix, {best.best:.3f}"
    if deepest.depth > best.depth and f"{deepest.best:.3f}" != f"{best.best:.3f}":
        text += f"; {deepest.depth} came to {deepest.best:.3f}"
    return text[0].upper() + text[1:]


def effect_finding(rows: Sequence[EffectRow]) -> str:
    """The best and the worst type of first layer, in percentage points of accuracy; only where they are told apart."""
    gains: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.position == 1:
            gains[kind_of(row.label)] += row.gains
    enough = {kind: found for kind, found in gains.items() if len(found) >= LEAST_TRAININGS}
    if len(enough) < 2:
        return "Too few trainings to tell types of first layer apart"
    best, worst = (choose(enough, key=lambda kind: fmean(enough[kind])) for choose in (max, min))
    pairs = len(enough) * (len(enough) - 1) // 2
    high, low = fmean(enough[best]), fmean(enough[worst])
    if high - low <= welch_half(enough[best], enough[worst], level=0.95, comparisons=pairs):
        return "No type of first layer is told apart from the others yet"
    return f"First layer: {best} came {points(high - low)} above {worst}"


def follow_finding(rows: Sequence[FollowRow]) -> str:
    """The pair that ends most of the best tenth; none where it ends only one prefix, or another one as many."""
    if not rows:
        return "No prefix of two layers yet"
    if rows[0].count == 1 or (len(rows) > 1 and rows[1].count == rows[0].count):
        return "No pair of layers stands out at the end of the best tenth"
    return f"{rows[0].before_label} then {rows[0].after_label} is the pair the best tenth ends with most"


def pareto_finding(rows: Sequence[ParetoRow]) -> str:
    """The cheapest prefix whose bound is within a point of the best one's."""
    if not rows:
        return "This space states no costs"
    best = min(rows, key=lambda row: row.rank)
    near = next(row for row in rows if row.bound >= best.bound - 0.01)
    if near.cost >= best.cost or near.cost <= 0:
        return f"Nothing cheaper comes within a point of the best, at least {best.bound:.3f}"
    return (
        f"At least {near.bound:.3f} accuracy for {short(near.cost)} parameters, "
        f"at least {best.bound:.3f} for {short(best.cost)}"
    )


def layers(count: int) -> str:
    """1 -> '1 layer'."""
    return counted(count, "layer")


def counted(count: int, noun: str, plural: str = "") -> str:
    """(1200, 'layer') -> '1,200 layers'."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def points(effect: float) -> str:
    """0.0123 -> '1.2 points'."""
    return f"{100.0 * effect:.1f} points"


def ordinal(number: int) -> str:
    """1 -> '1st', 12 -> '12th'."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def short(number: int | None) -> str:
    """1234567 -> '1.23M'; None -> 'unknown'."""
    if number is None:
        return "unknown"
    value = float(number)
    for unit in ("", "k", "M", "G"):
        if abs(value) < 999.5:
            return f"{value:.0f}" if not unit else f"{value:.3g}{unit}"
        value /= 1000.0
    return f"{value:.3g}T"
