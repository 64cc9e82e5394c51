"""Trade-offs: accuracy against parameters, FLOPs, RAM or flash, with the front that nothing beats on both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal, get_args

from plotly import graph_objects as go

from replaytree.errors import ConfigError
from replaytree.metric import Metric
from replaytree.report import theme
from replaytree.report.quantile import without_far
from replaytree.report.reading import HasTree, SearchData, read_search, shown_bound
from replaytree.report.section import Section
from replaytree.report.wording import short
from replaytree.tree import ReplayTree

Cost = Literal["params", "flops", "ram_bytes", "flash_bytes"]
MOST_POINTS = 1500
# Decades, of which the digits of a logarithmic axis fall on too few costs.
NARROW = 0.7
MOST_TICKS = 4
NOUNS: dict[Cost, str] = {
    "params": "parameters", "flops": "FLOPs", "ram_bytes": "bytes of RAM", "flash_bytes": "bytes of flash",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ParetoRow:
    """One prefix measured at the largest budget. `on_front`: none is as cheap and ranked as high, and better in one.

    `rank` is its place among all, from 0; `bound` is what people are shown as "at least".
    """

    node_id: int
    labels: str
    depth: int
    cost: int
    accuracy: float
    bound: float
    rank: int
    on_front: bool


def pareto_rows(data: SearchData, cost: Cost) -> list[ParetoRow]:
    """Cheapest first; prefixes whose cost is unknown are left out."""
    if cost not in get_args(Cost):
        raise ConfigError(f"cost is {cost!r}; it must be one of {', '.join(get_args(Cost))}")
    priced = sorted(
        (price, place, node) for place, node in enumerate(data.comparable) if (price := getattr(node, cost)) is not None
    )
    rows = []
    first = len(data.comparable)
    for price, place, node in priced:
        accuracy, bound = node.average_accuracy or 0.0, shown_bound(node) or 0.0
        labels = " ".join(node.labels)
        rows.append(ParetoRow(node.node_id, labels, node.depth, price, accuracy, bound, place, place < first))
        first = min(first, place)
    return rows


def shown_rows(rows: Sequence[ParetoRow], most: int = MOST_POINTS) -> list[ParetoRow]:
    """At most about `most` rows: the front, the better half of the room for the best, the rest every k-th."""
    if len(rows) <= most:
        return list(rows)
    bar = sorted(row.rank for row in rows)[most // 2]
    step = -(-len(rows) // (most // 2))
    return [row for place, row in enumerate(rows) if row.on_front or row.rank < bar or place % step == 0]


def draw_pareto(rows: Sequence[ParetoRow], cost: Cost, metric: Metric) -> go.Figure:
    """All prefixes as points, coloured by depth, and the front as steps."""
    points = shown_rows(rows)
    front = [row for row in rows if row.on_front]
    everything = go.Scatter(
        name="prefix",
        x=[row.cost for row in points],
        y=metric.numbers(row.bound for row in points),
        mode="markers",
        marker={"color": theme.SAMPLE, "size": 5, "opacity": 0.45},
        customdata=[row.node_id for row in points],
        text=[_text(row, metric) for row in points],
        hovertemplate=f"{metric.bound} %{{y:{metric.format}}} at %{{x:,}}<br>%{{text}}<extra></extra>",
    )
    best = go.Scatter(
        name="Pareto front",
        x=[row.cost for row in front],
        y=metric.numbers(row.bound for row in front),
        mode="lines+markers",
        line={"color": theme.CONTINUE, "width": 2, "shape": "hv"},
        marker={"color": theme.CONTINUE, "size": 8, "symbol": "diamond"},
        customdata=[row.node_id for row in front],
        text=[_text(row, metric) for row in front],
        hovertemplate=f"front: {metric.bound} %{{y:{metric.format}}} at %{{x:,}}<br>%{{text}}<extra></extra>",
    )
    figure = theme.figure(everything, best, height=380, meta={"marks": "nodes"})
    heights = _window([row.bound for row in rows], metric)
    # A cost of 0 cannot be shown on a logarithmic axis.
    kind = "log" if rows and rows[0].cost > 0 else "linear"
    more = {"flops": f" (multiply-adds {metric.each})", "ram_bytes": " (8 bits a number)", "flash_bytes": " (int8)"}
    title = NOUNS[cost] + more.get(cost, "")
    across = _costs(rows, heights, metric) if kind == "log" else None
    figure.update_xaxes(title_text=title, type=kind, tickformat="~s", range=across, **_ticks(across))
    figure.update_yaxes(**metric.axis(f"{metric.name}, {metric.bound}", within=heights))
    return figure


def plot_pareto(search: HasTree | ReplayTree, *, cost: Cost = "params") -> go.Figure:
    """Accuracy or perplexity against a cost, over the prefixes measured at the search's largest budget.

    The costs are 'params', 'flops', 'ram_bytes' and 'flash_bytes'.
    """
    data = read_search(search)
    return draw_pareto(pareto_rows(data, cost), cost, data.metric)


def _text(row: ParetoRow, metric: Metric) -> str:
    return f"{escape(row.labels)}<br>average {metric.shown(row.accuracy)}"


def _costs(rows: Sequence[ParetoRow], heights: Sequence[float] | None, metric: Metric) -> list[float] | None:
    """The decades of what the heights leave in sight: a tiny network below them must not stretch the axis."""
    shown = [math.log10(row.cost) for row in rows if heights is None or metric.is_within(row.bound, heights)]
    if not shown:
        return None
    room = max(0.05 * (max(shown) - min(shown)), 0.05)
    return [min(shown) - room, max(shown) + room]


def _ticks(across: Sequence[float] | None) -> dict[str, Any]:
    """Where a logarithmic axis of these decades has numbers: its own few steps show none where costs are alike."""
    if across is None:
        return {}
    if across[1] - across[0] > NARROW:
        return {"dtick": 1 if across[1] - across[0] > 2 else "D2"}
    low, high = 10 ** across[0], 10 ** across[1]
    least = (high - low) / MOST_TICKS
    scale = 10 ** math.floor(math.log10(least))
    step = scale * next(each for each in (1, 2, 5, 10) if each * scale >= least)
    return {"tickvals": [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]}


def _window(accuracies: Sequence[float], metric: Metric) -> list[float] | None:
    """A few hopeless prefixes must not press the front against the ceiling."""
    if not accuracies:
        return None
    return metric.window(*map(metric.of_gained, without_far(sorted(map(metric.gained, accuracies)))), below=0.05)


@dataclass(frozen=True, slots=True)
class Tradeoffs:
    """What the heading speaks of: the rows by parameters, or by FLOPs where no parameters are known."""

    cost: Cost
    rows: tuple[ParetoRow, ...]


def tradeoffs(data: SearchData) -> Tradeoffs | None:
    """None where the space states no costs."""
    found = (Tradeoffs(cost, tuple(pareto_rows(data, cost))) for cost in NOUNS)
    return next((each for each in found if each.rows), None)


def pareto_finding(rows: Sequence[ParetoRow], cost: Cost, metric: Metric) -> str:
    """The cheapest prefix whose bound is within a point of the best one's, of text within 2 % of it."""
    best = min(rows, key=lambda row: row.rank)
    near = next(row for row in rows if metric.is_near(row.bound, best.bound))
    if near.cost >= best.cost or near.cost <= 0:
        return f"Nothing cheaper comes within {metric.near} of the best, {metric.bound} {metric.rounded(best.bound)}"
    return (
        f"{metric.bound.capitalize()} {metric.rounded(near.bound)} {metric.name} for {short(near.cost)} {NOUNS[cost]}, "
        f"{metric.bound} {metric.rounded(best.bound)} for {short(best.cost)}"
    )


def _caption(data: SearchData, found: Tradeoffs) -> str:
    text = (
        f"Prefixes measured {data.measured_when(data.max_epochs)}, by “{data.metric.bound}”, the cautious figure that "
        f"ranks; the heading and the vertical axis have the same. The {data.metric.worst} prefixes can lie outside of "
        "the drawing. Diamonds are the Pareto front: nothing is both cheaper and better. Click a mark to see its node "
        "in the tree."
    )
    hidden = len(found.rows) - len(shown_rows(found.rows))
    return f"{text} {hidden:,} prefixes off the front are left out of the drawing." if hidden else text


def _against(cost: Cost) -> Section[SearchData, list[ParetoRow]]:
    """The part that draws one cost."""
    against = f"against {NOUNS[cost]}"

    def heading(data: SearchData) -> str:
        return f"{data.metric.title} {against}"

    return Section(
        name=cost,
        title=against.capitalize(),
        within="tradeoffs",
        rows=lambda data: pareto_rows(data, cost),
        figure=lambda data, rows: draw_pareto(rows, cost, data.metric),
        finding=lambda data, rows: heading(data),
        label=lambda data: f"{heading(data)}, with the Pareto front",
    )


SECTION = Section(
    name="tradeoffs",
    title="Trade-offs",
    rows=tradeoffs,
    finding=lambda data, found: pareto_finding(found.rows, found.cost, data.metric),
    caption=_caption,
)
PARTS = tuple(map(_against, NOUNS))
