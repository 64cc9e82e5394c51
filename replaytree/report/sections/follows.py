"""Which layer follows which in the best networks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from plotly import graph_objects as go

from replaytree.report import theme
from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.report.wording import broken


@dataclass(frozen=True, slots=True)
class FollowRow:
    """How often `after` follows `before` in the best tenth; `usual` is how often over all prefixes, as a share."""

    before: str
    after: str
    count: int
    share: float
    usual: float


def follow_rows(data: SearchData) -> list[FollowRow]:
    """Pairs of neighbouring layers in the best tenth of the prefixes of two layers or more, most frequent first.

    Prefixes are compared at the largest budget; a pair counts once for each prefix that ends with it.
    """
    chains = [node for node in data.comparable if node.depth > 1]
    best = chains[: math.ceil(len(chains) / 10)]
    counts = Counter(node.labels[-2:] for node in best)
    everywhere = Counter(node.labels[-2:] for node in chains)
    places = {label: place for place, label in enumerate(data.labels)}
    rows = [
        FollowRow(
            before=before,
            after=after,
            count=count,
            share=count / len(best),
            usual=everywhere[before, after] / len(chains),
        )
        for (before, after), count in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, places[row.before], places[row.after]))


def draw_follows(rows: Sequence[FollowRow]) -> go.Figure:
    """Layer before down, layer after across; bright pairs are frequent in the best tenth.

    The layers of the most frequent pairs come first: on a narrow screen the cell that the heading names is in sight.
    """
    befores, afters = (dict.fromkeys(row.before for row in rows), dict.fromkeys(row.after for row in rows))
    down, across = ({label: place for place, label in enumerate(found)} for found in (befores, afters))
    counts: list[list[int | None]] = [[None] * len(across) for _ in down]
    texts = [[""] * len(across) for _ in down]
    for row in rows:
        counts[down[row.before]][across[row.after]] = row.count
        texts[down[row.before]][across[row.after]] = f"{row.share:.1%} of the best tenth, {row.usual:.1%} of all"
    cells = go.Heatmap(
        x=[broken(label) for label in afters],
        y=[broken(label) for label in befores],
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


def follow_finding(rows: Sequence[FollowRow]) -> str:
    """The pair that ends most of the best tenth; none where it ends only one prefix, or another one as many."""
    if rows[0].count == 1 or (len(rows) > 1 and rows[1].count == rows[0].count):
        return "No pair of layers stands out at the end of the best tenth"
    return f"{rows[0].before} then {rows[0].after} is the pair the best tenth ends with most"


SECTION = Section(
    name="follows",
    title="Which layer follows which",
    within="depth",
    rows=follow_rows,
    figure=lambda data, rows: draw_follows(rows),
    finding=lambda data, rows: follow_finding(rows),
    caption=lambda data, rows: (
        "The last two layers of each prefix in the best tenth. Hover compares a pair with its share of all prefixes."
    ),
)
