"""Accuracy by depth: how many layers this data set needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from plotly import graph_objects as go

from replaytree.metric import Metric
from replaytree.report import theme
from replaytree.report.quantile import quantile
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.section import Section
from replaytree.report.wording import layers
from replaytree.tree import ReplayTree


@dataclass(frozen=True, slots=True)
class DepthRow:
    """The prefixes of one depth that were measured at the largest budget: quartiles, and the prefix ranked first.

    `best`, `best_labels` and `at_least` are of the same prefix, the first by rank, whose average need not be the
    highest; `leads` says that it is the best of all depths.
    """

    depth: int
    nodes: int
    low: float
    first_quartile: float
    median: float
    third_quartile: float
    high: float
    best: float
    best_labels: str
    at_least: float | None
    leads: bool


def depth_rows(data: SearchData) -> list[DepthRow]:
    """One row a depth; depths that nothing measured at the largest budget are left out."""
    by_depth = defaultdict(list)
    for node in data.comparable:
        by_depth[node.depth].append(node)
    rows = []
    for depth, nodes in sorted(by_depth.items()):
        values = sorted(node.average_accuracy for node in nodes if node.average_accuracy is not None)
        rows.append(
            DepthRow(
                depth=depth,
                nodes=len(nodes),
                low=values[0],
                first_quartile=quantile(values, 0.25),
                median=quantile(values, 0.5),
                third_quartile=quantile(values, 0.75),
                high=values[-1],
                best=nodes[0].average_accuracy or 0.0,
                best_labels=" ".join(nodes[0].labels),
                at_least=nodes[0].lower_bound,
                leads=nodes[0] is data.best,
            )
        )
    return rows


def draw_depth(rows: Sequence[DepthRow], metric: Metric) -> go.Figure:
    """A box a depth (quartiles; whiskers to the lowest and the highest) and a line through those ranked first."""
    depths = [row.depth for row in rows]
    # From the lowest number to the highest, which of perplexities is the worst.
    ends = ("low", "first_quartile", "third_quartile", "high")[:: metric.direction]
    fences = [metric.numbers(getattr(row, end) for row in rows) for end in ends]
    box = go.Box(
        name="all prefixes: quartiles, lowest and highest",
        x=depths,
        lowerfence=fences[0],
        q1=fences[1],
        median=metric.numbers(row.median for row in rows),
        q3=fences[2],
        upperfence=fences[3],
        marker={"color": theme.SAMPLE},
        line={"width": 1.2},
        hoverinfo="skip",
    )
    line = go.Scatter(
        name="ranked first",
        x=depths,
        y=metric.numbers(row.best for row in rows),
        mode="lines+markers",
        marker={"color": theme.BEST, "size": 8},
        line={"color": theme.BEST, "width": 2},
        text=[
            f"{escape(row.best_labels)}<br>{at_least(row.at_least, metric)}median {metric.shown(row.median)} of "
            f"{row.nodes} prefix{'' if row.nodes == 1 else 'es'}"
            for row in rows
        ],
        hovertemplate=f"%{{x}} layers: %{{y:{metric.format}}} on average<br>%{{text}}<extra></extra>",
    )
    figure = theme.figure(box, line, height=360)
    figure.update_xaxes(title_text="layers", dtick=1 if len(rows) <= 16 else None)
    figure.update_yaxes(**metric.axis(f"average {metric.name}", within=_window(rows, metric)))
    return figure


def at_least(bound: float | None, metric: Metric) -> str:
    """'at least 0.9876; ', or nothing where that is unknown."""
    return "" if bound is None else f"{metric.bound} {metric.shown(bound)}; "


def plot_depth(search: HasTree | ReplayTree) -> go.Figure:
    """Accuracy by depth, over the prefixes measured at the search's largest budget."""
    data = read_search(search)
    return draw_depth(depth_rows(data), data.metric)


def _window(rows: Sequence[DepthRow], metric: Metric) -> list[float] | None:
    """The quartiles and the best fill the panel; the longest whiskers may leave it."""
    if not rows:
        return None
    return metric.window(min(row.first_quartile for row in rows), max(row.high for row in rows), below=0.35)


def depth_finding(rows: Sequence[DepthRow], metric: Metric) -> str:
    """The best number of layers, and the result of deeper prefixes."""
    best = next(row for row in rows if row.leads)
    deepest = rows[-1]
    text = f"{layers(best.depth)} gave the best prefix, {metric.rounded(best.best)}"
    if deepest.depth > best.depth and metric.rounded(deepest.best) != metric.rounded(best.best):
        text += f"; {deepest.depth} came to {metric.rounded(deepest.best)}"
    return text[0].upper() + text[1:]


def _caption(data: SearchData, rows: Sequence[DepthRow]) -> str:
    text = (
        f"Average {data.metric.name} by depth, over the prefixes measured at the largest budget, "
        f"{data.measured_when(data.max_epochs)}; the line shows the prefix of each depth that ranks first."
    )
    # Where it is not given it is `joint` if the space is nested, which the trainings show.
    all_measured = not any(None in training.accuracies for training in data.trainings)
    if data.config.get("evaluator") in ("joint", None) and all_measured and data.fingerprint:
        text += " Prefixes trained jointly read lower when shallow and higher when deep than they would trained alone."
    return text


SECTION = Section(
    name="depth",
    title="What was learned",
    eyebrow="What the tree learned",
    rows=depth_rows,
    figure=lambda data, rows: draw_depth(rows, data.metric),
    finding=lambda data, rows: depth_finding(rows, data.metric),
    caption=_caption,
    empty="No prefix was measured at the largest budget yet",
)
