"""Colours and Plotly templates: one for light pages, one for dark. Colours that carry meaning serve both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plotly import graph_objects as go

from replaytree.metric import Metric

# Perceptually uniform, and safe for all common kinds of colour blindness (S. van der Walt and N. Smith, 2015).
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26",
    "#fde725",
)  # fmt: skip
# Blue for less and orange for more can be distinguished with any colour vision; the middle is the page's ground.
LOW, HIGH = "#2c6fb0", "#d9731a"

# Each has at least 3:1 contrast with both grounds; every series has a marker shape or a dash of its own, too.
SAMPLE, CONTINUE, REPLAY = "#2f80c2", "#d9731a", "#868e96"
BEST, FAILED = "#14937a", "#d1495b"
SERIES = ("#2f80c2", "#d9731a", "#14937a", "#9a6fc9", "#b0722e", "#d1495b", "#868e96", "#4c9fb5")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")

INK = {"light": "#1c2126", "dark": "#e4e7e5"}
MUTED = {"light": "#5a646d", "dark": "#9ba5ac"}
GRID = {"light": "#e6e8e4", "dark": "#2a3035"}
SURFACE = {"light": "#ffffff", "dark": "#191d21"}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONOSPACE = "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def diverging(scheme: str) -> list[list[Any]]:
    """Less to more through the ground of the page, so that no effect looks like nothing."""
    return [[0.0, LOW], [0.5, GRID[scheme]], [1.0, HIGH]]


def counts(scheme: str) -> list[list[Any]]:
    """Few to many in one hue, so that counts are not read as accuracies."""
    ends = {"light": ("#dcebec", "#145261"), "dark": ("#1d3a40", "#8fd6df")}[scheme]
    return [[0.0, ends[0]], [1.0, ends[1]]]


def sequential() -> list[list[Any]]:
    """Low to high accuracy."""
    return [[position / (len(VIRIDIS) - 1), colour] for position, colour in enumerate(VIRIDIS)]


def template(scheme: str) -> dict[str, Any]:
    """A Plotly template for 'light' or 'dark', as a dictionary; grounds are transparent, the page gives them."""
    axis = {
        "gridcolor": GRID[scheme],
        "linecolor": GRID[scheme],
        "zeroline": False,
        "ticks": "",
        "automargin": True,
        "title": {"font": {"size": 12, "color": MUTED[scheme]}, "standoff": 8},
        "tickfont": {"size": 11, "color": MUTED[scheme]},
    }
    return {
        "layout": {
            "font": {"family": FONT, "size": 12, "color": INK[scheme]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(SERIES),
            "colorscale": {"sequential": sequential(), "diverging": diverging(scheme)},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
            "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": SURFACE[scheme],
                "bordercolor": GRID[scheme],
                "font": {"family": FONT, "size": 12, "color": INK[scheme]},
                "align": "left",
            },
            "coloraxis": {"colorbar": {"thickness": 10, "outlinewidth": 0, "len": 1.0, "tickfont": {"size": 11}}},
        }
    }


def figure(*traces: Any, height: int, **layout: Any) -> go.Figure:
    """A figure in the light template; the page puts its own in place."""
    drawn = go.Figure(data=list(traces))
    drawn.update_layout(template=template("light"), height=height, **layout)
    return drawn


@dataclass(frozen=True, slots=True)
class Scale:
    """The colours of accuracies, from `low` to `high`, even steps of the metric's shade between them."""

    low: float
    high: float
    metric: Metric

    @classmethod
    def of(cls, accuracies: Sequence[float], metric: Metric) -> Scale:
        """From the 10th percentile to the best, so that a few failures do not flatten the rest."""
        if not accuracies:
            return cls(0.0, 1.0, metric)
        ordered = sorted(accuracies)
        low, high = ordered[len(ordered) // 10], ordered[-1]
        return cls(low, high, metric) if high - low > 1e-6 else cls(*metric.near_ends(high), metric)

    @property
    def middle(self) -> float:
        """The accuracy of the middle colour."""
        return self.metric.shaded((self.metric.shade(self.low) + self.metric.shade(self.high)) / 2.0)

    def colour(self, accuracy: float) -> str:
        """The colour of an accuracy, '#rrggbb'."""
        low, high = self.metric.shade(self.low), self.metric.shade(self.high)
        return colour_at((self.metric.shade(accuracy) - low) / (high - low))

    def marker(self, accuracies: Sequence[float | None], *, colours: str) -> dict[str, Any]:
        """A Plotly marker of these accuracies, unknown ones as the lowest; `colours` is the key the trace wants."""
        shade = self.metric.shade
        ends = shade(self.low), shade(self.high)
        shown = (self.low, self.middle, self.high)
        return {
            colours: [ends[0] if accuracy is None else shade(accuracy) for accuracy in accuracies],
            "colorscale": sequential(),
            "cmin": ends[0],
            "cmax": ends[1],
            "colorbar": {
                "title": {"text": self.metric.name, "side": "top"},
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": [shade(accuracy) for accuracy in shown],
                "ticktext": [self.metric.rounded(accuracy) for accuracy in shown],
            },
        }


def colour_at(share: float) -> str:
    """The colour at a share of the scale as '#rrggbb', linear between its stops."""
    place = min(1.0, max(0.0, share)) * (len(VIRIDIS) - 1)
    first = min(int(place), len(VIRIDIS) - 2)
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in VIRIDIS[first : first + 2]]
    return "#" + "".join(f"{round(a + (b - a) * (place - first)):02x}" for a, b in zip(*ends, strict=True))
