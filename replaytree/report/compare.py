"""Searches side by side: the leader over trainings and over seconds; seeds of a configuration form a group."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, takewhile
from statistics import fmean
from typing import Literal

from plotly import graph_objects as go

from replaytree.report import theme
from replaytree.report.difference import Difference, over_seeds
from replaytree.report.leading import Leader, leaders
from replaytree.report.quantile import quantile
from replaytree.report.reading import SearchData

Axis = Literal["trainings", "seconds"]
MOST_POINTS = 400
LOW_SHARE, HIGH_SHARE = 0.1, 0.9
NOT_THE_METHOD = ("seed", "device", "data_dir")


@dataclass(frozen=True, slots=True)
class Curve:
    """The prefix ranked first so far in one search, at each of its trainings. `seconds` are cumulative."""

    search: str
    seed: int
    leaders: tuple[Leader | None, ...]
    seconds: tuple[float, ...]

    @property
    def best(self) -> tuple[float | None, ...]:
        """The leaders' averages at that time."""
        return tuple(None if leader is None else leader.accuracy for leader in self.leaders)


@dataclass(frozen=True, slots=True)
class Group:
    """Searches whose configurations differ only in the seed, each with another seed."""

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
    """One search in the table: what ranked first after the common number of trainings, and after all.

    `at_least` is the bound of the latter; `best_at` is the training since which it has led.
    """

    search: str
    group: str
    seed: int
    trainings: int
    seconds: float
    common_best: float | None
    best: float | None
    at_least: float | None
    best_at: int | None


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A group after the common number of trainings: the mean of what ranked first, and the difference to the
    group with the highest mean (None for that one itself).
    """

    label: str
    seeds: int
    mean: float
    behind: Difference | None


def curves(searches: Sequence[SearchData]) -> list[Curve]:
    """One curve a search. A failure counts as a training without a result."""
    common = min((len(data.trainings) for data in searches), default=0)
    return [
        Curve(
            data.name,
            data.info.seed,
            tuple(leaders(data, at=[common])),
            tuple(accumulate(training.train_seconds or 0.0 for training in data.trainings)),
        )
        for data in searches
    ]


def groups(searches: Sequence[SearchData], found: Sequence[Curve]) -> list[Group]:
    """Searches by configuration and images, in the order given. A group of several is named by what the names share.

    A second search of the same seed is not another seed: it repeats the first, or used another evaluator given in
    Python. It starts its own group.
    """
    of_method: defaultdict[tuple[str, str, str, int], list[Curve]] = defaultdict(list)
    for data, one in zip(searches, found, strict=True):
        method = json.dumps(
            {key: value for key, value in data.config.items() if key not in NOT_THE_METHOD}, sort_keys=True
        )
        repeats = sum(
            key[:3] == (method, data.info.space_json, data_set(data)) and one.seed in [each.seed for each in members]
            for key, members in of_method.items()
        )
        of_method[method, data.info.space_json, data_set(data), repeats].append(one)
    names = [[one.search for one in members] for members in of_method.values()]
    labels = [_label(each) for each in names]
    return [
        Group(label if labels.count(label) == 1 else f"{', '.join(each)} ({len(each)} seeds)", tuple(members))
        for label, each, members in zip(labels, names, of_method.values(), strict=True)
    ]


def data_set(data: SearchData) -> str:
    """The images as a text that does not depend on their split."""
    found = data.fingerprint
    total = found.get("train_count", 0) + found.get("val_count", 0)
    return json.dumps([data.config.get("dataset"), found.get("classes"), found.get("image_shape"), total])


def group_standings(found: Sequence[Group]) -> list[GroupStanding]:
    """The groups after the common number of trainings, best mean first, without those that measured nothing by then.

    Groups of the same seeds are compared seed by seed.
    """
    common = min((len(one.leaders) for group in found for one in group.curves), default=0)
    if not common:
        return []
    at = []
    for group in found:
        there = [(one.seed, leader) for one in group.curves if (leader := one.leaders[common - 1]) is not None]
        if there:
            at.append((group.label, sorted(there, key=lambda pair: pair[0])))
    at.sort(key=lambda each: -fmean(leader.accuracy for _, leader in each[1]))
    standings: list[GroupStanding] = []
    for label, there in at:
        first = at[0][1]
        seeds = [[seed for seed, _ in each] for each in (first, there)]
        paired = seeds[0] == seeds[1] and len(set(seeds[0])) == len(seeds[0])
        behind = over_seeds([x for _, x in first], [x for _, x in there], paired=paired) if standings else None
        standings.append(GroupStanding(label, len(there), fmean(x.accuracy for _, x in there), behind))
    return standings


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


def standing_rows(searches: Sequence[SearchData], found: Sequence[Group]) -> list[StandingRow]:
    """One row a search, in the order given."""
    of_search = {one.search: (group.label, one) for group in found for one in group.curves}
    common = min((len(one.leaders) for _, one in of_search.values()), default=0)
    rows = []
    for data in searches:
        label, one = of_search[data.name]
        rows.append(
            StandingRow(
                search=data.name,
                group=label,
                seed=data.info.seed,
                trainings=len(one.leaders),
                seconds=one.seconds[-1] if one.seconds else 0.0,
                common_best=one.best[common - 1] if common else None,
                best=one.best[-1] if one.best else None,
                at_least=None if data.best is None else data.best.lower_bound,
                best_at=_since(one),
            )
        )
    return rows


def draw_bands(found: Sequence[Group], axis: Axis) -> go.Figure:
    """A median line a group, with a band if it has several searches."""
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
    drawn = theme.only_value(value for group in found for one in group.curves for value in one.best)
    figure.update_yaxes(title_text="ranked first so far", tickformat=".2f", range=drawn)
    return figure


def _since(one: Curve) -> int | None:
    """The training since which the last leader has led."""
    if not one.leaders or one.leaders[-1] is None:
        return None
    path = one.leaders[-1].path
    others = [place for place, leader in enumerate(one.leaders) if leader is None or leader.path != path]
    return max(others, default=-1) + 2


def _marks(one: Curve, axis: Axis) -> list[tuple[float, float | None]]:
    places = one.seconds if axis == "seconds" else range(1, len(one.best) + 1)
    return [(float(x), best) for x, best in zip(places, one.best, strict=True)]


def _at(marks: Sequence[tuple[float, float | None]], x: float) -> float | None:
    place = bisect_right(marks, x, key=lambda mark: mark[0])
    return marks[place - 1][1] if place else None


def _label(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{_shared_beginning(names) or names[0]} ({len(names)} seeds)"


def _shared_beginning(names: Sequence[str]) -> str:
    """('digits-1', 'digits-2') -> 'digits'."""
    letters = takewhile(lambda found: len(set(found)) == 1, zip(*names, strict=False))
    return "".join(found[0] for found in letters).rstrip("-_. ")


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
