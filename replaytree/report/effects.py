"""The effect of each layer at each position, and which layer follows which in the best networks."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from plotly import graph_objects as go

from replaytree.records import Path
from replaytree.report import theme
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.tree import ReplayTree


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A layer at a position: what the trainings with it there gained over those with another layer there.

    `effect` is that in accuracy, on average; None where there is no other to compare with. `gains` has a value a
    training, against the mean of all: two layers' gains differ by what their trainings reached.
    """

    position: int
    action: int
    label: str
    trainings: int
    others: int
    effect: float | None
    gains: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Course:
    """One training: the best accuracy of the network by each of its measured layers."""

    path: Path
    best: tuple[float, ...]


class _Sums:
    """How many trainings have each length, and what they had reached, in sum, by each of their layers."""

    def __init__(self, courses: Sequence[_Course]) -> None:
        self.counts = Counter(len(course.path) for course in courses)
        self._reached: defaultdict[tuple[int, int], float] = defaultdict(float)
        for course in courses:
            for depth, best in enumerate(course.best, start=1):
                self._reached[len(course.path), depth] += best

    def of(self, length: int, depth: int) -> tuple[int, float]:
        """The trainings of that length, and the sum of what they had reached by that depth."""
        return self.counts[length], self._reached.get((length, depth), 0.0)


@dataclass(frozen=True, slots=True)
class FollowRow:
    """How often `after` follows `before` in the best tenth; `usual` is how often over all prefixes, as a share."""

    before: int
    after: int
    before_label: str
    after_label: str
    count: int
    share: float
    usual: float


def effect_rows(data: SearchData) -> list[EffectRow]:
    """Effects, ordered by position and action.

    Trainings of one budget are compared in pairs, by the best accuracy that each had reached by the last layer that
    both have: so neither growth nor depth is mistaken for a layer's merit, and few trainings give many comparisons.
    An effect leaves out of the comparison all that have the layer there; gains are against the mean of all.
    """
    groups = defaultdict(list)
    for training in data.trainings:
        if training.accuracies:
            best = tuple(accumulate(training.accuracies, max))
            groups[training.epochs].append(_Course(training.path[: len(best)], best))
    effects: defaultdict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
    gains: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for group in groups.values():
        everything = _Sums(group)
        cells = defaultdict(list)
        for course in group:
            for cell in enumerate(course.path, start=1):
                cells[cell].append(course)
        for cell, courses in cells.items():
            own = _Sums(courses)
            for course in courses:
                effects[cell].append(_surplus(course, cell[0], everything, own))
                total, count = _surplus(course, cell[0], everything, _Sums([]))
                gains[cell] += [total / count] if count > 1 else []
    return [_effect_row(data, cell, effects[cell], gains[cell]) for cell in sorted(effects)]


def _effect_row(
    data: SearchData, cell: tuple[int, int], found: Sequence[tuple[float, int]], gains: Sequence[float]
) -> EffectRow:
    compared = [total / others for total, others in found if others]
    return EffectRow(
        position=cell[0],
        action=cell[1],
        label=data.labels[cell[1]],
        trainings=len(compared),
        others=max(others for _, others in found),
        effect=math.fsum(compared) / len(compared) if compared else None,
        gains=tuple(gains),
    )


def _surplus(course: _Course, position: int, everything: _Sums, own: _Sums) -> tuple[float, int]:
    """How much more it had reached than each of the others with a layer there, in sum, and how many those are."""
    total, others = 0.0, 0
    for length in everything.counts:
        if length < position:
            continue
        depth = min(length, len(course.path))
        count, reached = everything.of(length, depth)
        own_count, own_reached = own.of(length, depth)
        total += (count - own_count) * course.best[depth - 1] - (reached - own_reached)
        others += count - own_count
    return total, others


def follow_rows(data: SearchData) -> list[FollowRow]:
    """Pairs of neighbouring layers in the best tenth of the prefixes of two layers or more, most frequent first.

    Prefixes are compared at the largest budget; a pair counts once for each prefix that ends with it.
    """
    chains = [node for node in data.comparable if node.depth > 1]
    best = chains[: math.ceil(len(chains) / 10)]
    counts = Counter(node.path[-2:] for node in best)
    everywhere = Counter(node.path[-2:] for node in chains)
    rows = [
        FollowRow(
            before=before,
            after=after,
            before_label=data.labels[before],
            after_label=data.labels[after],
            count=count,
            share=count / len(best),
            usual=everywhere[before, after] / len(chains),
        )
        for (before, after), count in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.before, row.after))


def draw_effects(rows: Sequence[EffectRow]) -> go.Figure:
    """Layers down, positions across; orange gains, blue costs. A cell with nothing to compare with is empty."""
    labels = dict(sorted((row.action, row.label) for row in rows))
    places = {action: place for place, action in enumerate(labels)}
    positions = sorted({row.position for row in rows})
    points: list[list[float | None]] = [[None] * len(positions) for _ in places]
    texts = [[""] * len(positions) for _ in places]
    for row in rows:
        down, across = places[row.action], row.position - 1
        points[down][across] = None if row.effect is None else 100.0 * row.effect
        texts[down][across] = f"n = {row.trainings} with it, compared with {row.others} without"
    # An outlier must not wash out all other cells: the scale ends at the 95th percentile of the effects.
    sizes = sorted(abs(row.effect) * 100.0 for row in rows if row.effect is not None) or [1.0]
    end = max(sizes[int(0.95 * (len(sizes) - 1))], 0.1)
    cells = go.Heatmap(
        x=positions,
        y=[escape(label) for label in labels.values()],
        z=points,
        text=texts,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate="%{y} at position %{x}: %{z:+.2f} points<br>%{text}<extra></extra>",
    )
    figure = theme.figure(cells, height=max(260, 90 + 20 * len(places)))
    figure.update_layout(
        coloraxis={
            "cmin": -end,
            "cmax": end,
            "colorscale": theme.diverging("light"),
            "colorbar": {"title": {"text": "points", "side": "top", "font": {"size": 11}}, "ticksuffix": " "},
        },
        meta={"scale": "diverging"},
    )
    figure.update_xaxes(title_text="position in the path", dtick=1, showgrid=False, side="bottom")
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", dtick=1)
    return figure


def draw_follows(rows: Sequence[FollowRow]) -> go.Figure:
    """Layer before down, layer after across; bright pairs are frequent in the best tenth.

    The layers of the most frequent pairs come first: on a narrow screen the cell that the heading names is in sight.
    """
    befores = {row.before: row.before_label for row in rows}
    afters = {row.after: row.after_label for row in rows}
    down, across = ({action: place for place, action in enumerate(found)} for found in (befores, afters))
    counts: list[list[int | None]] = [[None] * len(across) for _ in down]
    texts = [[""] * len(across) for _ in down]
    for row in rows:
        counts[down[row.before]][across[row.after]] = row.count
        texts[down[row.before]][across[row.after]] = f"{row.share:.1%} of the best tenth, {row.usual:.1%} of all"
    cells = go.Heatmap(
        x=[escape(label) for label in afters.values()],
        y=[escape(label) for label in befores.values()],
        z=counts,
        text=texts,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate="%{y}, then %{x}: %{z}<br>%{text}<extra></extra>",
    )
    # The narrowest that labels across can be read at; a screen that has less scrolls sideways.
    width = 150 + 24 * len(across)
    figure = theme.figure(cells, height=max(260, 130 + 20 * len(down)))
    top = max((row.count for row in rows), default=1)
    figure.update_layout(
        coloraxis={
            "colorscale": theme.counts("light"),
            "cmin": 0,
            "colorbar": {
                "title": {"text": "times", "side": "top", "font": {"size": 11}},
                "dtick": max(1, math.ceil(top / 6)),
            },
        },
        meta={"scale": "counts", "least_width": width},
    )
    figure.update_xaxes(title_text="followed by", showgrid=False, tickangle=-60, type="category", dtick=1)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", dtick=1)
    return figure


def plot_layer_effects(search: HasTree | ReplayTree) -> go.Figure:
    """The effect of each layer at each position, against trainings with another layer there."""
    return draw_effects(effect_rows(read_search(search)))
