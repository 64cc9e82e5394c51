"""The search over time: what each training brought, how the bounds rose, what the policy did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from replaytree.metric import Metric
from replaytree.records import FailureKind, Path, Source
from replaytree.report import theme
from replaytree.report.leading import Leader, leaders
from replaytree.report.quantile import without_far
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.section import Section
from replaytree.report.wording import counted, ordinal
from replaytree.tree import ReplayTree

MOST_POINTS = 2000
# Of so many episodes each has a number on the axis; more would not stand side by side on a phone.
MOST_TICKS = 10
NOTHING = "No training has measured anything yet"


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One episode. `accuracy` is the highest of its training, `best` the average of the prefix ranked first by then.

    `leader` is that prefix. The average falls where more trainings say so, and where the budget rises.
    """

    number: int
    source: Source
    trained: bool
    depth: int
    labels: str
    accuracy: float | None
    best: float | None
    leader: Path | None
    depth_bound: int
    epochs: int
    failure: FailureKind | None
    policy_loss: float | None
    entropy: float | None


def history_rows(data: SearchData) -> list[HistoryRow]:
    """One row an episode, in order."""
    rows = []
    ranked = iter(leaders(data))
    leader: Leader | None = None
    for episode in data.episodes:
        accuracy = episode.highest if episode.trained else None
        if episode.trained:
            leader = next(ranked)
        rows.append(
            HistoryRow(
                number=episode.number,
                source=episode.source,
                trained=episode.trained,
                depth=len(episode.path),
                labels=data.labels_of(episode.path),
                accuracy=accuracy,
                best=None if leader is None else leader.accuracy,
                leader=None if leader is None else leader.path,
                depth_bound=episode.depth_bound,
                epochs=episode.epochs,
                failure=episode.failure,
                policy_loss=episode.policy_loss,
                entropy=episode.entropy,
            )
        )
    return rows


def thinned(rows: Sequence[HistoryRow], most: int = MOST_POINTS) -> list[HistoryRow]:
    """At most about `most` rows: every new leader and failure, and of the rest every k-th."""
    if len(rows) <= most:
        return list(rows)
    step = -(-len(rows) // most)
    previous: Path | None = None
    kept = []
    for place, row in enumerate(rows):
        if place % step == 0 or row.leader != previous or row.failure is not None or place == len(rows) - 1:
            kept.append(row)
        previous = row.leader
    return kept


def draw_history(
    rows: Sequence[HistoryRow], metric: Metric, unit: str = "epochs", *, learner: str = "policy"
) -> go.Figure:
    """Three panels over the episodes, counted from 1: accuracy or perplexity, bounds, and what learns.

    `unit` is what budgets are counted in: epochs, or turns of a supernet. `learner` is what entropies and losses are
    of: the policy, or the numbers of a supernet.
    """
    rows = thinned(rows)
    learned = any(row.entropy is not None for row in rows)
    shares = [0.58, 0.2, 0.22] if learned else [0.72, 0.28]
    figure = make_subplots(
        rows=len(shares),
        cols=1,
        shared_xaxes=True,
        row_heights=shares,
        vertical_spacing=0.06,
        specs=[[{"secondary_y": row == 2}] for row in range(len(shares))],
    )
    numbers = [row.number + 1 for row in rows]
    for trace in _measured_traces(rows, numbers, metric, unit):
        figure.add_trace(trace, row=1, col=1)
    for name, field, colour, dash in (
        ("depth bound, layers", "depth_bound", theme.SERIES[3], "solid"),
        (f"budget, {unit}", "epochs", theme.SERIES[4], "dash"),
    ):
        values = [getattr(row, field) for row in rows]
        figure.add_trace(_line(name, numbers, values, colour, dash, shape="hv"), row=2, col=1)
    if learned:
        for name, field, colour, dash in (
            (f"entropy of the {learner}, nats", "entropy", theme.SERIES[7], "solid"),
            (f"loss of the {learner}", "policy_loss", theme.REPLAY, "dot"),
        ):
            values = [getattr(row, field) for row in rows]
            figure.add_trace(
                _line(name, numbers, values, colour, dash), row=3, col=1, secondary_y=field == "policy_loss"
            )
    figure.update_layout(template=theme.template("light"), height=620 if learned else 500, showlegend=True)
    figure.update_xaxes(title_text="episode", row=len(shares), col=1)
    if len(numbers) == 1:
        figure.update_xaxes(range=[numbers[0] - 1, numbers[0] + 1])
    if len(numbers) <= MOST_TICKS:
        # There is no half of an episode.
        figure.update_xaxes(dtick=1)
    within = metric.around(value for row in rows for value in (row.accuracy, row.best)) or _window(rows, metric)
    figure.update_yaxes(**metric.axis(within=within), row=1, col=1)
    figure.update_yaxes(title_text="bounds", rangemode="tozero", row=2, col=1)
    if learned:
        figure.update_yaxes(title_text="entropy", rangemode="tozero", row=3, col=1, secondary_y=False)
        figure.update_yaxes(title_text="loss", showgrid=False, row=3, col=1, secondary_y=True)
    return figure


def _window(rows: Sequence[HistoryRow], metric: Metric) -> list[float] | None:
    """Of perplexities, which know no worst: a cell that learned nothing must not press the others to the floor."""
    ordered = sorted(metric.gained(each) for row in rows for each in (row.accuracy, row.best) if each is not None)
    if not ordered or not metric.is_inverse:
        return None
    return metric.window(*map(metric.of_gained, without_far(ordered)), below=0.05)


def plot_history(search: HasTree | ReplayTree) -> go.Figure:
    """Accuracy of each training, the leader so far, bounds and policy over the episodes of a search."""
    data = read_search(search)
    return _drawn(data, history_rows(data))


def _drawn(data: SearchData, rows: Sequence[HistoryRow]) -> go.Figure:
    config = data.whole_config
    learner = "numbers" if config.strategy_options.is_differentiable else "policy"
    return draw_history(rows, data.metric, config.weights.unit, learner=learner)


def _measured_traces(rows: Sequence[HistoryRow], numbers: list[int], metric: Metric, unit: str) -> list[Any]:
    points = partial(_points, metric=metric, unit=unit)
    marks: tuple[tuple[Source, str, str, str], ...] = (
        ("sample", "sampled", theme.SAMPLE, "circle"),
        ("continue", "continued from the tree", theme.CONTINUE, "diamond"),
        ("replay", "replayed and trained", theme.REPLAY, "square"),
    )
    traces: list[Any] = []
    for source, name, colour, symbol in marks:
        chosen = [row for row in rows if row.source == source and row.accuracy is not None and row.failure is None]
        if chosen:
            traces.append(points(name, chosen, [row.accuracy for row in chosen], colour, symbol))
    traces.append(
        _line(
            "ranked first so far",
            numbers,
            metric.numbers(row.best for row in rows),
            theme.BEST,
            "solid",
            shape="hv",
            width=2,
        )
    )
    # Replayed episodes measure nothing, and failures may not: both stand on the floor of the panel.
    floor = min((row.accuracy for row in rows if row.accuracy is not None), default=0.0)
    replayed = [row for row in rows if not row.trained]
    if replayed:
        traces.append(
            points(
                "replayed, nothing trained",
                replayed,
                [floor] * len(replayed),
                theme.REPLAY,
                "line-ns-open",
            )
        )
    failed = [row for row in rows if row.failure is not None]
    if failed:
        values = [floor if row.accuracy is None else row.accuracy for row in failed]
        traces.append(points("failed", failed, values, theme.FAILED, "x"))
    return traces


def _points(
    name: str,
    rows: Sequence[HistoryRow],
    fractions: Sequence[float | None],
    colour: str,
    symbol: str,
    *,
    metric: Metric,
    unit: str,
) -> go.Scatter:
    return go.Scatter(
        name=name,
        x=[row.number + 1 for row in rows],
        y=metric.numbers(fractions),
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 6, "opacity": 0.8},
        text=[f"{escape(row.labels)}<br>{row.failure or counted(row.epochs, unit[:-1])}" for row in rows],
        hovertemplate=f"episode %{{x}}: %{{y:{metric.format}}}<br>%{{text}}<extra></extra>",
    )


def _line(
    name: str,
    numbers: list[int],
    values: Sequence[float | None],
    colour: str,
    dash: str,
    *,
    shape: str = "linear",
    width: float = 1.5,
) -> go.Scatter:
    return go.Scatter(
        name=name,
        x=numbers,
        y=list(values),
        mode="lines",
        line={"color": colour, "dash": dash, "shape": shape, "width": width},
        hovertemplate=f"episode %{{x}}: {name} %{{y:.4~f}}<extra></extra>",
    )


def history_finding(rows: Sequence[HistoryRow], best: Path | None = None) -> str:
    """The training since which the best prefix has been ranked first.

    `best` is the one of the whole search; None: that after the last row. They differ where leaders were scored again.
    """
    leader = rows[-1].leader
    if leader is None:
        return NOTHING
    if best not in (None, leader):
        return "The best prefix came first when the leaders were scored once more, after the last training"
    last_other = max((place for place, row in enumerate(rows) if row.leader != leader), default=-1)
    trained = sum(row.trained for row in rows[: last_other + 2])
    total = sum(row.trained for row in rows)
    return f"The best prefix has been ranked first since the {ordinal(trained)} of {counted(total, 'training')}"


def _caption(data: SearchData, rows: Sequence[HistoryRow]) -> str:
    unit = data.whole_config.weights.unit
    parts = [
        f"Each mark is one training: the {data.metric.best} {data.metric.name} of any prefix on its path, with the "
        f"{unit} of that time. The line is the average {data.metric.name} of the prefix that ranked first by then; it "
        f"can {data.metric.worsens} when more trainings, or longer ones, measure {data.metric.worse}. Below: the most "
        f"layers (depth bound) and the {unit} (budget) that were allowed."
    ]
    if data.whole_config.strategy_options.is_differentiable:
        parts.append(
            "At the bottom: the numbers of the supernet, of which there is one an option. Their mean entropy says how "
            "undecided they are; the loss is what their training minimises, on training images of their own."
        )
    elif any(row.entropy is not None for row in rows):
        parts.append(
            "At the bottom: the controller, the small network that proposes layers. Its entropy says how undecided it "
            f"is; the loss is what its training minimises, and its height says nothing about {data.metric.name}."
        )
    if _is_scored_again(data, rows):
        parts.append(
            "After the last training the leaders were scored once more with the last weights, which the drawing does "
            "not show."
        )
    if data.metric.is_inverse:
        parts.append("The highest perplexities can lie outside of the drawing.")
    parts.append("Episodes count from 1 here, and from 0 in the database.")
    if hidden := len(rows) - len(thinned(rows)):
        parts.append(f"{hidden:,} episodes are left out of the drawing; every new leader and failure is shown.")
    return " ".join(parts)


def _is_scored_again(data: SearchData, rows: Sequence[HistoryRow]) -> bool:
    """Whether the best prefix has another average than its trainings say."""
    best, last = data.best, rows[-1]
    if best is None or best.average_accuracy is None or last.best is None:
        return False
    # Their sums may round apart.
    return best.path != last.leader or not math.isclose(best.average_accuracy, last.best, rel_tol=1e-9)


SECTION = Section(
    name="history",
    title="Over time",
    eyebrow="The search over time",
    rows=history_rows,
    figure=_drawn,
    finding=lambda data, rows: history_finding(rows, None if data.best is None else data.best.path),
    caption=_caption,
    empty=NOTHING,
)
