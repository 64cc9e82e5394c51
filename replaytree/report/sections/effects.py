"""The effect of each layer at each position."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain
from statistics import fmean

from plotly import graph_objects as go

from replaytree.metric import Metric
from replaytree.records import Path, filled
from replaytree.report import theme
from replaytree.report.difference import welch_half
from replaytree.report.reading import HasTree, SearchData, kind_of, read_search
from replaytree.report.section import Section
from replaytree.report.wording import broken
from replaytree.space.coding import decode, taken
from replaytree.tree import EpisodeInfo, ReplayTree

Option = tuple[str, str]
"""A decision's name, and what was chosen for it."""
_Cell = tuple[int, int, Option]
"""Position, place of the option, option."""

LAYER = "layer"
"""The decision of a layer that is one decision."""

LEAST_TRAININGS = 3
"""A layer's effect is put into a heading only where it rests on at least this many trainings."""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """An option of a decision at a position: what the trainings with it there gained over those with another one there.

    `place` is that of the option among all options of the space.

    `effect` is that in accuracy, of text in its logarithm, on average; None where there is no other to compare with.
    `gains` has a value a training, against the mean of all: two options' gains differ by what their trainings reached.
    """

    position: int
    place: int
    decision: str
    option: str
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


def effect_rows(data: SearchData) -> list[EffectRow]:
    """The effects of the layers of a search."""
    deepest = max((len(training.path) for training in data.trainings), default=0)
    by_decision: dict[str, dict[Option, None]] = {}
    for decision in chain.from_iterable(data.decisions(depth) for depth in range(1, deepest + 1)):
        by_decision.setdefault(decision.name, {}).update(((decision.name, each), None) for each in decision.options)

    @cache
    def options(position: int, action: int) -> list[Option]:
        decisions = data.decisions(position)
        return [
            (decision.name, decision.options[option])
            for decision, value in zip(decisions, decode(decisions, action), strict=True)
            for option in taken(decision, value)
        ]

    return option_effects(data.trainings, options, list(chain.from_iterable(by_decision.values())), data.metric)


def option_effects(
    trainings: Sequence[EpisodeInfo],
    options: Callable[[int, int], Sequence[Option]],
    order: Sequence[Option],
    metric: Metric,
) -> list[EffectRow]:
    """Effects, by position, then in `order`; `options(position, action)` are what makes up a layer.

    Trainings of one budget are compared in pairs, by the best accuracy that each had reached by the last layer that
    both have: so neither growth nor depth is mistaken for an option's merit, and few trainings give many comparisons.
    Trainings that left out prefixes are compared with those alone that left out the same: a prefix has the accuracy of
    its shortest measured continuation then, and of paths of several lengths these would not be comparable.
    An effect leaves out of the comparison all that have the option there; gains are against the mean of all.
    """
    places = {option: place for place, option in enumerate(order)}
    groups = defaultdict(list)
    for training in trainings:
        if training.accuracies:
            reached = accumulate(filled(training.accuracies, len(training.accuracies)), max)
            best = tuple(map(metric.gained, reached))
            lacking = tuple(depth for depth, accuracy in enumerate(training.accuracies) if accuracy is None)
            groups[training.epochs, lacking].append(_Course(training.path[: len(best)], best))
    effects: defaultdict[_Cell, list[tuple[float, int]]] = defaultdict(list)
    gains: defaultdict[_Cell, list[float]] = defaultdict(list)
    for group in groups.values():
        everything = _Sums(group)
        cells = defaultdict(list)
        for course in group:
            for position, action in enumerate(course.path, start=1):
                for option in options(position, action):
                    cells[position, places[option], option].append(course)
        for cell, courses in cells.items():
            own = _Sums(courses)
            for course in courses:
                effects[cell].append(_surplus(course, cell[0], everything, own))
                total, count = _surplus(course, cell[0], everything, _Sums([]))
                gains[cell] += [total / count] if count > 1 else []
    return [_effect_row(cell, effects[cell], gains[cell]) for cell in sorted(effects)]


def _effect_row(cell: _Cell, found: Sequence[tuple[float, int]], gains: Sequence[float]) -> EffectRow:
    position, place, (decision, option) = cell
    compared = [total / others for total, others in found if others]
    return EffectRow(
        position=position,
        place=place,
        decision=decision,
        option=option,
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


def draw_effects(rows: Sequence[EffectRow], metric: Metric) -> go.Figure:
    """Layers down, positions across; orange gains, blue costs. A cell with nothing to compare with is empty."""
    options = {row.place: _named(row.decision, row.option) for row in sorted(rows, key=lambda row: row.place)}
    places = {place: down for down, place in enumerate(options)}
    positions = sorted({row.position for row in rows})
    points: list[list[float | None]] = [[None] * len(positions) for _ in places]
    texts = [[""] * len(positions) for _ in places]
    for row in rows:
        down, across = places[row.place], row.position - 1
        points[down][across] = None if row.effect is None else 100.0 * row.effect
        texts[down][across] = f"n = {row.trainings} with it, compared with {row.others} without"
    # An outlier must not wash out all other cells: the scale ends at the 95th percentile of the effects.
    sizes = sorted(abs(row.effect) * 100.0 for row in rows if row.effect is not None) or [1.0]
    end = max(sizes[int(0.95 * (len(sizes) - 1))], 0.1)
    cells = go.Heatmap(
        x=positions,
        y=[broken(option) for option in options.values()],
        z=points,
        text=texts,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        hoverongaps=False,
        hovertemplate=f"%{{y}} at position %{{x}}: %{{z:+.2f}} {metric.gain_words}<br>%{{text}}<extra></extra>",
    )
    figure = theme.figure(cells, height=max(260, 90 + 20 * len(places)))
    figure.update_layout(
        coloraxis={
            "cmin": -end,
            "cmax": end,
            "colorscale": theme.diverging("light"),
            "colorbar": {"title": {"text": metric.gain_unit, "side": "top", "font": {"size": 11}}, "ticksuffix": " "},
        },
        meta={"scale": "diverging"},
    )
    figure.update_xaxes(title_text="position in the path", dtick=1, showgrid=False, side="bottom")
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", dtick=1)
    return figure


def plot_layer_effects(search: HasTree | ReplayTree) -> go.Figure:
    """The effect of each layer at each position, against trainings with another layer there."""
    data = read_search(search)
    return draw_effects(effect_rows(data), data.metric)


def effect_finding(rows: Sequence[EffectRow], metric: Metric) -> str:
    """The best and the worst type of first layer, in percentage points of accuracy, or per cent of perplexity.

    Only where they are told apart.

    Of layers that are several decisions, the options of the one decision that makes the largest difference.
    """
    gains: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.position == 1:
            gains[row.decision][kind_of(row.option) if row.decision == LAYER else row.option] += row.gains
    enough = {
        decision: {kind: found for kind, found in kinds.items() if len(found) >= LEAST_TRAININGS}
        for decision, kinds in gains.items()
    }
    pairs = sum(len(kinds) * (len(kinds) - 1) // 2 for kinds in enough.values())
    what = "type of first layer" if set(gains) <= {LAYER} else "option of a first layer"
    if not pairs:
        return f"Too few trainings to tell {what.replace('type', 'types').replace('option', 'options')} apart"
    told: list[tuple[float, str]] = []
    for decision, kinds in enough.items():
        if len(kinds) < 2:
            continue
        best, worst = (choose(kinds, key=lambda kind: fmean(kinds[kind])) for choose in (max, min))
        more = fmean(kinds[best]) - fmean(kinds[worst])
        if more > welch_half(kinds[best], kinds[worst], level=0.95, comparisons=pairs):
            told.append((more, f"First layer: {_named(decision, best)} came {metric.ahead(more)} {worst}"))
    return max(told)[1] if told else f"No {what} is told apart from the others yet"


def _named(decision: str, option: str) -> str:
    """'conv32k3'; 'filters 36' where a layer is several decisions."""
    return option if decision == LAYER else f"{decision} {option}"


def _caption(data: SearchData, rows: Sequence[EffectRow]) -> str:
    what = "layer" if all(row.decision == LAYER for row in rows) else "option"
    name = data.metric.name
    return (
        f"{data.metric.gain_caption}: what whole trainings with this {what} at this position reached, less what "
        f"trainings with another {what} there reached. A training is never compared with itself: a cell is blank "
        "where nothing was trained, or where no other training can be compared. Two trainings are compared at the"
        f" same budget and number of layers, by the best {name} up to there, so the layers that follow count "
        f"too. That is another question than the tree’s, where a node’s {name} is that of the one network that "
        "ends with it; the best prefix can hold a layer that did badly elsewhere. Hover gives n, the number of "
        f"trainings: a cell with n below {LEAST_TRAININGS} says little. The heading names two of a kind only "
        "where a 95 % interval of their difference (Welch’s, widened for choosing among all pairs) leaves out 0."
    )


def _compared(data: SearchData) -> list[EffectRow]:
    """The rows, if any has an effect."""
    rows = effect_rows(data)
    return rows if any(row.effect is not None for row in rows) else []


SECTION = Section(
    name="effects",
    title="What a layer is worth",
    within="depth",
    rows=_compared,
    figure=lambda data, rows: draw_effects(rows, data.metric),
    finding=lambda data, rows: effect_finding(rows, data.metric),
    caption=_caption,
    empty="No two trainings can be compared by one of their layers yet",
)
