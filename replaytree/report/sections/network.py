"""The most visited part of the tree as a graph, laid out by NetworkX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import networkx as nx
from plotly import graph_objects as go

from replaytree.records import Path
from replaytree.report import theme
from replaytree.report.reading import SearchData
from replaytree.report.section import Section

MOST_NODES = 80


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A node and its place; `place` is that of the node among the rows of the tree table, -1 for the root."""

    path: Path
    place: int
    label: str
    labels: str
    visit_count: int
    average_accuracy: float | None
    x: float
    y: float


def network_rows(data: SearchData, most: int = MOST_NODES) -> list[NetworkRow]:
    """The root and the `most` most visited nodes, parents first.

    Kamada and Kawai's layout from a radial start: edges rarely cross, and the result is always the same.
    """
    places = {node.node_id: place for place, node in enumerate(data.nodes)}
    chosen = sorted(data.nodes, key=lambda node: (-node.visit_count, node.depth, node.node_id))[:most]
    chosen.sort(key=lambda node: node.node_id)
    if not chosen:
        return []
    graph: nx.Graph[Path] = nx.Graph([(node.path[:-1], node.path) for node in chosen])
    spots = nx.kamada_kawai_layout(graph, pos=_radial([node.path for node in chosen]))
    rows = [NetworkRow((), -1, data.name, "", len(data.episodes), None, *map(float, spots[()]))]
    return rows + [
        NetworkRow(
            path=node.path,
            place=places[node.node_id],
            label=node.label,
            labels=" ".join(node.labels),
            visit_count=node.visit_count,
            average_accuracy=node.average_accuracy,
            x=float(spots[node.path][0]),
            y=float(spots[node.path][1]),
        )
        for node in chosen
    ]


def draw_network(rows: Sequence[NetworkRow], scale: theme.Scale) -> go.Figure:
    """Nodes sized by visits and coloured by average accuracy; the most visited carry their layer's name.

    The scale is that of the whole tree, and its legend stands beside the icicle.
    """
    spots = {row.path: row for row in rows}
    xs: list[float | None] = []
    ys: list[float | None] = []
    for row in rows:
        if row.path:
            above = spots[row.path[:-1]]
            xs += [above.x, row.x, None]
            ys += [above.y, row.y, None]
    edges = go.Scatter(
        x=xs, y=ys, mode="lines", line={"color": theme.REPLAY, "width": 1}, hoverinfo="skip", opacity=0.6
    )
    shown = [row for row in rows if row.path]
    most = max((row.visit_count for row in shown), default=1)
    named = {row.path for row in sorted(shown, key=lambda row: (-row.visit_count, row.path))[:24]}
    nodes = go.Scatter(
        x=[row.x for row in shown],
        y=[row.y for row in shown],
        mode="markers+text",
        marker=scale.marker([row.average_accuracy for row in shown], colours="color")
        | {
            "size": [7 + 25 * math.sqrt(row.visit_count / most) for row in shown],
            "opacity": 1,
            "showscale": False,
            "line": {"width": 1, "color": theme.REPLAY},
        },
        text=[escape(row.label) if row.path in named else "" for row in shown],
        textposition="top center",
        textfont={"size": 10},
        customdata=[row.place for row in shown],
        hovertext=[
            f"{escape(row.labels)}<br>{row.visit_count} visits, average {scale.metric.name} "
            f"{scale.metric.shown(row.average_accuracy, unknown='unknown')}"
            for row in shown
        ],
        hoverinfo="text",
    )
    root = go.Scatter(
        x=[row.x for row in rows if not row.path],
        y=[row.y for row in rows if not row.path],
        mode="markers",
        marker={"size": 12, "symbol": "square", "color": theme.REPLAY},
        hovertext=[f"the root: the {scale.metric.items}"],
        hoverinfo="text",
    )
    figure = theme.figure(edges, root, nodes, height=560, showlegend=False, meta={"marks": "places"})
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(visible=False, showgrid=False)
    return figure


def _radial(paths: Sequence[Path]) -> dict[Path, tuple[float, float]]:
    """A circle a depth; each node in the middle of the leaves below it."""
    children: dict[Path, list[Path]] = {(): []}
    for path in paths:
        children.setdefault(path[:-1], []).append(path)
        children.setdefault(path, [])
    angles: dict[Path, float] = {}
    leaves = sum(1 for path in children if not children[path])
    taken = 0
    # Deepest first in the order of a walk: a node's angle is the mean of its children's.
    for path in reversed(_walk(children)):
        if children[path]:
            angles[path] = math.fsum(angles[child] for child in children[path]) / len(children[path])
        else:
            angles[path] = 2.0 * math.pi * taken / leaves
            taken += 1
    return {path: (len(path) * math.cos(angle), len(path) * math.sin(angle)) for path, angle in angles.items()}


def _walk(children: dict[Path, list[Path]]) -> list[Path]:
    """All paths, each before those below it, a subtree at a time."""
    order: list[Path] = []
    waiting: list[Path] = [()]
    while waiting:
        path = waiting.pop()
        order.append(path)
        waiting += children[path]
    return order


def _rows_and_scale(data: SearchData) -> tuple[list[NetworkRow], theme.Scale]:
    return network_rows(data), theme.Scale.of(data.averages, data.metric)


SECTION = Section(
    name="network",
    title="Graph",
    within="tree",
    rows=_rows_and_scale,
    figure=lambda data, found: draw_network(*found),
    finding=lambda data, found: "The most visited part of the tree as a graph",
)
