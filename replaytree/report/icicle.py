"""The tree as a figure of its own, for notebooks; the page draws it in the browser from the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from plotly import graph_objects as go

from replaytree.metric import Metric
from replaytree.report import theme
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.wording import broken
from replaytree.tree import ReplayTree

MOST_NODES = 3000
LEVELS = 5


@dataclass(frozen=True, slots=True)
class IcicleRow:
    """One node of the drawing; `key` and `parent_key` are paths as text, the root's is ''."""

    key: str
    parent_key: str
    label: str
    labels: str
    visit_count: int
    evaluation_count: int
    average_accuracy: float | None


def icicle_rows(data: SearchData, most: int = MOST_NODES) -> list[IcicleRow]:
    """The root and the `most` most visited nodes: no node has more visits than its parent, so the parents are in."""
    rows = [
        IcicleRow(
            key="",
            parent_key="",
            label=data.name,
            labels="",
            visit_count=sum(node.visit_count for node in data.nodes if node.depth == 1),
            evaluation_count=len(data.trainings),
            average_accuracy=None,
        )
    ]
    chosen = sorted(data.nodes, key=lambda node: (-node.visit_count, node.depth, node.node_id))[:most]
    return rows + [
        IcicleRow(
            key=".".join(map(str, node.path)),
            parent_key=".".join(map(str, node.path[:-1])),
            label=node.label,
            labels=" ".join(node.labels),
            visit_count=node.visit_count,
            evaluation_count=node.evaluation_count,
            average_accuracy=node.average_accuracy,
        )
        for node in sorted(chosen, key=lambda node: node.node_id)
    ]


def draw_icicle(rows: Sequence[IcicleRow], metric: Metric) -> go.Figure:
    """Layers across, visits down, coloured by average accuracy or perplexity; a click goes deeper."""
    scale = theme.Scale.of([row.average_accuracy for row in rows if row.average_accuracy is not None], metric)
    trace = go.Icicle(
        ids=["root" if not row.key else row.key for row in rows],
        parents=["" if not row.key else row.parent_key or "root" for row in rows],
        labels=[broken(row.label) for row in rows],
        values=[row.visit_count for row in rows],
        branchvalues="total",
        maxdepth=LEVELS,
        tiling={"orientation": "h"},
        marker=scale.marker([row.average_accuracy for row in rows], colours="colors") | {"showscale": True},
        text=[
            f"{escape(row.labels)}<br>average {metric.name} "
            f"{metric.shown(row.average_accuracy, unknown='unknown')}<br>"
            f"{row.visit_count} visits, {row.evaluation_count} evaluations"
            for row in rows
        ],
        textinfo="label",
        hovertemplate="%{text}<extra></extra>",
    )
    return theme.figure(trace, height=560)


def plot_tree(search: HasTree | ReplayTree) -> go.Figure:
    """The tree as an icicle: the most visited nodes, coloured by average accuracy."""
    data = read_search(search)
    return draw_icicle(icicle_rows(data), data.metric)
