"""What the trainings of each depth cost, in seconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from plotly import graph_objects as go

from replaytree.report import theme
from replaytree.report.reading import SearchData
from replaytree.report.section import Section

# Of so many depths the bars are kept narrow.
FEW = 2


@dataclass(frozen=True, slots=True)
class DepthCostRow:
    """What the trainings of paths of one depth cost, in seconds."""

    depth: int
    trainings: int
    median_seconds: float
    total_seconds: float


def depth_cost_rows(data: SearchData) -> list[DepthCostRow]:
    """One row a depth of trained paths, where the evaluator told its seconds."""
    seconds = defaultdict(list)
    for training in data.trainings:
        if training.train_seconds is not None:
            seconds[len(training.path)].append(training.train_seconds)
    return [DepthCostRow(depth, len(s), median(s), sum(s)) for depth, s in sorted(seconds.items())]


def draw_depth_cost(rows: Sequence[DepthCostRow]) -> go.Figure:
    """Median seconds of a training by the depth of its path."""
    bars = go.Bar(
        x=[row.depth for row in rows],
        y=[row.median_seconds for row in rows],
        customdata=[[row.trainings, row.total_seconds] for row in rows],
        marker={"color": theme.SAMPLE},
        hovertemplate="%{x} layers: median %{y:.2f} s<br>%{customdata[0]} trainings, %{customdata[1]:.0f} s in all"
        "<extra></extra>",
    )
    figure = theme.figure(bars, height=300, showlegend=False)
    figure.update_xaxes(title_text="layers of the trained path", dtick=1 if len(rows) <= 16 else None)
    if 0 < len(rows) <= FEW:
        # A bar or two would fill the whole width.
        depths = [row.depth for row in rows]
        figure.update_xaxes(tickvals=depths, range=[depths[0] - 2.5, depths[-1] + 2.5])
    figure.update_yaxes(title_text="seconds a training (median)")
    return figure


SECTION = Section(
    name="costs",
    title="What each depth costs",
    within="history",
    wide=True,
    rows=depth_cost_rows,
    figure=lambda data, rows: draw_depth_cost(rows),
    finding=lambda data, rows: "What each depth costs",
    label="Median seconds of a training by depth",
)
