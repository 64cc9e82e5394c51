"""Searches side by side: best so far against trainings and against seconds, seeds of one configuration together."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from typing import Literal

from plotly import graph_objects as go

from replaytree.report import theme
from replaytree.report.depth import quantile
from replaytree.report.reading import SearchData

Axis = Literal["trainings", "seconds"]
MOST_POINTS = 400
LOW_SHARE, HIGH_SHARE = 0.1, 0.9
NOT_THE_METHOD = ("seed", "device", "data_dir")


@dataclass(frozen=True, slots=True)
class Curve:
    """Best single training so far of one search, at each of its trainings. `seconds` are of training, summed."""

    search: str
    best: tuple[float | None, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Searches whose configurations differ in the seed at most."""

    label: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class BandRow:
    """At `x` trainings or seconds: the median over a group's searches, and the 10 % and 90 % quantiles."""

    x: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StandingRow:
    """One search in the table: its best after the trainings that all have, and its best in all."""

    search: str
    group: str
    seed: int
    trainings: int
    seconds: float
    common_best: float | None
    best: float | None
    best_at: int | None


def curve(data: SearchData) -> Curve:
    """A failure counts as a training that brought nothing."""
    best: list[float | None] = []
    seconds: list[float] = []
    top: float | None = None
    spent = 0.0
    for training in data.trainings:
        reached = max(training.accuracies, default=None)
        if reached is not None and (top is None or reached > top):
            top = reached
        spent += training.train_seconds or 0.0
        best.append(top)
        seconds.append(spent)
    return Curve(data.name, tuple(best), tuple(seconds))


def groups(searches: Sequence[SearchData]) -> list[Group]:
    """Searches by configuration, in the order given. A group of several is named by what the names share."""
    found = defaultdict(list)
    for data in searches:
        method = {key: value for key, value in data.config.items() if key not in NOT_THE_METHOD}
        found[json.dumps(method, sort_keys=True), data.info.space_json].append(curve(data))
    named = []
    for curves in found.values():
        names = [one.search for one in curves]
        shared = _shared_beginning(names) or names[0]
        label = names[0] if len(names) == 1 else f"{shared} ({len(names)} seeds)"
        named.append(Group(label, tuple(curves)))
    return named


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


def standing_rows(searches: Sequence[SearchData]) -> list[StandingRow]:
    """One row a search, in the order given."""
    label_of = {one.search: group.label for group in groups(searches) for one in group.curves}
    curves = [curve(data) for data in searches]
    common = min((len(one.best) for one in curves), default=0)
    rows = []
    for data, one in zip(searches, curves, strict=True):
        top = one.best[-1] if one.best else None
        rows.append(
            StandingRow(
                search=data.name,
                group=label_of[data.name],
                seed=data.info.seed,
                trainings=len(one.best),
                seconds=one.seconds[-1] if one.seconds else 0.0,
                common_best=one.best[common - 1] if common else None,
                best=top,
                best_at=None if top is None else one.best.index(top) + 1,
            )
        )
    return rows


def draw_bands(found: Sequence[Group], axis: Axis) -> go.Figure:
    """A median line a group, with its band where it has several searches."""
    figure = theme.figure(height=420)
    for place, group in enumerate(found):
        rows = band_rows(group, axis)
        colour = theme.SERIES[place % len(theme.SERIES)]
        xs = [row.x for row in rows]
        if len(group.curves) > 1:
            for values, fill in (([row.high for row in rows], None), ([row.low for row in rows], "tonexty")):
                figure.add_scatter(
                    x=xs, y=values, mode="lines", line={"width": 0, "shape": "hv"}, fill=fill,
                    fillcolor=_faint(colour), legendgroup=str(place), showlegend=False, hoverinfo="skip",
                )  # fmt: skip
        figure.add_scatter(
            name=escape(group.label),
            x=xs,
            y=[row.median for row in rows],
            mode="lines",
            legendgroup=str(place),
            line={"color": colour, "width": 2, "shape": "hv", "dash": theme.DASHES[place % len(theme.DASHES)]},
            customdata=[[row.low, row.high] for row in rows],
            hovertemplate="%{y:.4f} (%{customdata[0]:.4f} to %{customdata[1]:.4f}) at %{x:,.0f}<extra>%{fullData.name}"
            "</extra>",
        )
    figure.update_xaxes(title_text="trainings" if axis == "trainings" else "seconds of training", rangemode="tozero")
    figure.update_yaxes(title_text="best so far", tickformat=".2f")
    return figure


def _marks(one: Curve, axis: Axis) -> list[tuple[float, float | None]]:
    places = one.seconds if axis == "seconds" else range(1, len(one.best) + 1)
    return [(float(x), best) for x, best in zip(places, one.best, strict=True)]


def _at(marks: Sequence[tuple[float, float | None]], x: float) -> float | None:
    place = bisect_right(marks, x, key=lambda mark: mark[0])
    return marks[place - 1][1] if place else None


def _shared_beginning(names: Sequence[str]) -> str:
    """('digits-1', 'digits-2') -> 'digits'."""
    letters = takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False))
    return "".join(found[0] for found in letters).rstrip("-_. ")


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
