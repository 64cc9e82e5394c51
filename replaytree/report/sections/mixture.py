"""A differentiable search over time: how decided the numbers of its supernet are, and whether its cells collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from plotly import graph_objects as go
from plotly.subplots import make_subplots

from replaytree.report import theme
from replaytree.report.commands import command, companion_config
from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.report.sections.history import MOST_TICKS

# A search has collapsed where so many of its operations pass their input on.
MANY = 0.5


@dataclass(frozen=True, slots=True)
class MixtureRow:
    """One episode: the entropy of each decision, in nats, by its name; and what says whether the search collapses."""

    number: int
    labels: str
    entropies: dict[str, float]
    skip_share: float | None
    eigenvalue: float | None

    @property
    def entropy(self) -> float:
        """The mean over the decisions."""
        return fmean(self.entropies.values())


def mixture_rows(data: SearchData) -> list[MixtureRow]:
    """One row an episode, in order; none where the strategy is not differentiable."""
    return [
        MixtureRow(
            episode.number,
            data.labels_of(episode.path),
            dict(episode.mixed.entropies),
            episode.mixed.skip_share,
            episode.mixed.eigenvalue,
        )
        for episode in data.episodes
        if episode.mixed is not None and episode.mixed.entropies
    ]


def draw_mixture(rows: Sequence[MixtureRow]) -> go.Figure:
    """The entropy of every decision over the episodes; below it the share of skips, and the eigenvalue if there is."""
    names = list(rows[0].entropies)
    numbers = [row.number + 1 for row in rows]
    watched = any(row.skip_share is not None or row.eigenvalue is not None for row in rows)
    figure = make_subplots(
        rows=1 + watched,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.7, 0.3] if watched else [1.0],
        vertical_spacing=0.08,
        specs=[[{}], [{"secondary_y": True}]][: 1 + watched],
    )
    figure.add_trace(
        go.Heatmap(
            x=numbers,
            y=names,
            z=[[row.entropies.get(name) for row in rows] for name in names],
            zmin=0.0,
            colorscale=theme.sequential(),
            colorbar={"title": {"text": "nats"}, "thickness": 10, "len": 0.6 if watched else 1.0, "y": 0.7},
            hovertemplate="episode %{x}, %{y}: %{z:.3f} nats<extra></extra>",
        ),
        row=1,
        col=1,
    )
    for name, values, colour, dash, secondary in (
        ("share of skips", [row.skip_share for row in rows], theme.SERIES[1], "solid", False),
        ("largest eigenvalue", [row.eigenvalue for row in rows], theme.SERIES[3], "dot", True),
    ):
        if any(value is not None for value in values):
            line = go.Scatter(
                name=name,
                x=numbers,
                y=values,
                mode="lines+markers",
                marker={"size": 5},
                line={"color": colour, "dash": dash, "width": 1.5},
                text=[row.labels for row in rows],
                hovertemplate=f"episode %{{x}}: {name} %{{y:.3~f}}<br>%{{text}}<extra></extra>",
            )
            figure.add_trace(line, row=2, col=1, secondary_y=secondary)
    height = 160 + 14 * len(names) + 160 * watched
    figure.update_layout(template=theme.template("light"), height=height, showlegend=watched)
    figure.update_yaxes(autorange="reversed", row=1, col=1)
    if watched:
        figure.update_yaxes(title_text="skips", range=[0.0, 1.0], tickformat=".0%", row=2, col=1, secondary_y=False)
        figure.update_yaxes(title_text="eigenvalue", showgrid=False, row=2, col=1, secondary_y=True)
    figure.update_xaxes(dtick=1 if len(rows) <= MOST_TICKS else None)
    figure.update_xaxes(title_text="episode", row=1 + watched, col=1)
    return figure


def mixture_finding(rows: Sequence[MixtureRow]) -> str:
    """How far the numbers have decided, and how many of the operations derived last are skips."""
    first, last = rows[0].entropy, rows[-1].entropy
    text = f"The numbers have a mean entropy of {last:.2f} nats"
    if f"{first:.2f}" != f"{last:.2f}":
        text += f", {first:.2f} after the first epoch"
    else:
        text += ", as after the first epoch"
    share = rows[-1].skip_share
    if share is not None:
        text += f"; {100 * share:.0f} % of the operations derived last are skips"
        if share >= MANY:
            text += ": the search has collapsed"
    return text


def _caption(data: SearchData, rows: Sequence[MixtureRow]) -> str:
    widest = max(rows[0].entropies.values())
    parts = [
        "Each row is a decision of the supernet; an entropy of 0 nats means that one option has all the weight. All "
        f"start undecided: the largest entropy after the first epoch is {widest:.2f} nats."
    ]
    if rows[-1].skip_share is not None:
        parts.append(
            "Below: the share of operations that pass their input on, among those derived after each epoch. Where it "
            "rises to nearly all, the search has collapsed."
        )
    if any(row.eigenvalue is not None for row in rows):
        parts.append(
            "The eigenvalue is that of the Hessian of the validation loss in the numbers; a steep rise comes before a "
            "collapse (Zela et al., 2020)."
        )
    parts.append(f"Derived last: {rows[-1].labels}.")
    derived = data.derived
    if derived is not None and derived.number != rows[-1].number:
        parts.append(
            f"The eigenvalue has risen since episode {derived.number + 1}, so that the path to take is the one derived "
            f"then: {data.labels_of(derived.path)}."
        )
    if derived is not None and companion_config(data) is not None:
        parts.append(f"It is retrained by: {command(data, 'retrain', options=['--node', str(derived.node_id)])}")
    return " ".join(parts)


SECTION = Section(
    name="mixture",
    title="The supernet's numbers",
    eyebrow="How the supernet decided",
    rows=mixture_rows,
    figure=lambda data, rows: draw_mixture(rows),
    finding=lambda data, rows: mixture_finding(rows),
    caption=_caption,
    label="The entropy of each decision of the supernet over the episodes, and the share of skips",
)
