"""What each layer does at each position, and which layer follows which in the best networks."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from plotly import graph_objects as go

from replaytree.report import theme
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.tree import ReplayTree


@dataclass(frozen=True, slots=True)
class EffectRow:
    """A layer at a position. `gains` has a value a training, in accuracy; `effect` is their mean."""

    position: int
    action: int
    label: str
    gains: tuple[float, ...]

    @property
    def effect(self) -> float:
        """The mean gain."""
        return math.fsum(self.gains) / len(self.gains)

    @property
    def trainings(self) -> int:
        """How many the effect rests on."""
        return len(self.gains)


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

    A training is worth the best accuracy on its path. The effect of a layer at a position is the mean, over the
    trainings that have it there, of that worth less the mean worth of all trainings of the same length and budget:
    so neither growth nor depth is mistaken for a layer's merit.
    """
    worth = {}
    groups = defaultdict(list)
    for training in data.trainings:
        if training.accuracies:
            worth[training.number] = max(training.accuracies)
            groups[len(training.path), training.epochs].append(worth[training.number])
    usual = {group: math.fsum(values) / len(values) for group, values in groups.items()}
    sums: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    for training in data.trainings:
        if training.number in worth:
            gain = worth[training.number] - usual[len(training.path), training.epochs]
            for position, action in enumerate(training.path, start=1):
                sums[position, action].append(gain)
    return [
        EffectRow(position, action, data.labels[action], tuple(gains))
        for (position, action), gains in sorted(sums.items())
    ]


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
    """Layers down, positions across; orange gains, blue costs. Cells that nothing was trained for are empty."""
    labels = dict(sorted((row.action, row.label) for row in rows))
    places = {action: place for place, action in enumerate(labels)}
    positions = sorted({row.position for row in rows})
    points: list[list[float | None]] = [[None] * len(positions) for _ in places]
    trainings: list[list[int]] = [[0] * len(positions) for _ in places]
    for row in rows:
        points[places[row.action]][row.position - 1] = 100.0 * row.effect
        trainings[places[row.action]][row.position - 1] = row.trainings
    # One wild cell must not pale all others: the scale ends at the 95th percentile of the effects.
    sizes = sorted(abs(row.effect) * 100.0 for row in rows) or [1.0]
    end = max(sizes[int(0.95 * (len(sizes) - 1))], 0.1)
    cells = go.Heatmap(
        x=positions,
        y=[escape(label) for label in labels.values()],
        z=points,
        customdata=trainings,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate="%{y} at position %{x}: %{z:+.2f} points<br>%{customdata} trainings<extra></extra>",
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
    """The effect of each layer at each position, against trainings of the same length and budget."""
    return draw_effects(effect_rows(read_search(search)))
