"""What ranked first, over trainings and over seconds: a line a group, with a band where it has several seeds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from plotly import graph_objects as go

from replaytree.metric import Metric
from replaytree.report import theme
from replaytree.report.comparison.searches import Comparison, Curve, Group
from replaytree.report.quantile import quantile
from replaytree.report.section import Section

Axis = Literal["trainings", "seconds"]
MOST_POINTS = 400
LOW_SHARE, HIGH_SHARE = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class BandRow:
    """At `x` trainings or seconds: the median over a group's searches, and the 10 % and 90 % quantiles."""

    x: float
    median: float
    low: float
    high: float


def band_rows(group: Group, axis: Axis) -> list[BandRow]:
    """The group's band, from where each of its searches has a best to where the first of them ends."""
    marks = [_marks(one, axis) for one in group.curves]
    starts = [next((x for x, best in curve_marks if best is not None), None) for curve_marks in marks]
    if any(start is None for start in starts) or not all(marks):
        return []
    first = max(start for start in starts if start is not None)
    last = min(curve_marks[-1][0] for curve_marks in marks)
    places = sorted({x for curve_marks in marks for x, _ in curve_marks if first <= x <= last} | {first})
    step = -(-len(places) // MOST_POINTS)
    rows = []
    for x in dict.fromkeys([*places[::step], *places[-1:]]):
        values = sorted(value for curve_marks in marks if (value := _at(curve_marks, x)) is not None)
        rows.append(BandRow(x, quantile(values, 0.5), quantile(values, LOW_SHARE), quantile(values, HIGH_SHARE)))
    return rows


def draw_bands(found: Sequence[Group], axis: Axis, metric: Metric) -> go.Figure:
    """A median line a group, with a band if it has several searches."""
    figure = theme.figure(height=420)
    for place, group in enumerate(found):
        rows = band_rows(group, axis)
        colour = theme.SERIES[place % len(theme.SERIES)]
        xs = [row.x for row in rows]
        if len(group.curves) > 1:
            ends = [metric.numbers(row.high for row in rows), metric.numbers(row.low for row in rows)]
            for values, fill in zip(ends, (None, "tonexty"), strict=True):
                figure.add_scatter(
                    x=xs, y=values, mode="lines", line={"width": 0, "shape": "hv"}, fill=fill,
                    fillcolor=_faint(colour), legendgroup=str(place), showlegend=False, hoverinfo="skip",
                )  # fmt: skip
        figure.add_scatter(
            name=escape(group.label),
            x=xs,
            y=metric.numbers(row.median for row in rows),
            mode="lines",
            legendgroup=str(place),
            line={"color": colour, "width": 2, "shape": "hv", "dash": theme.DASHES[place % len(theme.DASHES)]},
            customdata=[sorted(map(metric.number, (row.low, row.high))) for row in rows],
            hovertemplate=f"%{{y:{metric.format}}} (%{{customdata[0]:{metric.format}}} to "
            f"%{{customdata[1]:{metric.format}}}) at %{{x:,.0f}}<extra>%{{fullData.name}}</extra>",
        )
    figure.update_xaxes(title_text="trainings" if axis == "trainings" else "seconds of training", rangemode="tozero")
    within = metric.around(value for group in found for one in group.curves for value in one.best)
    figure.update_yaxes(**metric.axis(metric.leading, within=within))
    return figure


def _marks(one: Curve, axis: Axis) -> list[tuple[float, float | None]]:
    places = one.seconds if axis == "seconds" else range(1, len(one.best) + 1)
    return [(float(x), best) for x, best in zip(places, one.best, strict=True)]


def _at(marks: Sequence[tuple[float, float | None]], x: float) -> float | None:
    place = bisect_right(marks, x, key=lambda mark: mark[0])
    return marks[place - 1][1] if place else None


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _groups(data: Comparison) -> tuple[Group, ...]:
    return data.groups


def _timed(data: Comparison) -> bool:
    return data.measured and any(one.seconds and one.seconds[-1] > 0 for one in data.curves)


TRAININGS = Section(
    name="trainings",
    title="Against trainings",
    within="answer",
    rows=_groups,
    figure=lambda data, groups: draw_bands(groups, "trainings", data.metric),
    finding=lambda data, groups: "Against trainings",
    label="Ranked first so far, against trainings",
)
SECONDS = Section(
    name="seconds",
    title="Against seconds of training",
    within="answer",
    shown=_timed,
    rows=_groups,
    figure=lambda data, groups: draw_bands(groups, "seconds", data.metric),
    finding=lambda data, groups: "Against seconds of training",
    label="Ranked first so far, against seconds of training",
)
