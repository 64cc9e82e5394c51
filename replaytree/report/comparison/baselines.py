"""The retrained answers of the searches and their baselines, side by side."""

from __future__ import annotations

from replaytree.report.baselines import NetworkRow, network_rows
from replaytree.report.comparison.searches import Comparison
from replaytree.report.section import Section, always


def rows(data: Comparison) -> list[tuple[str, NetworkRow]]:
    """The name of the search and a row of its table; of the searches that have baselines."""
    return [(search.name, row) for search in data.searches for row in network_rows(search)]


SECTION = Section(
    name="baselines",
    title="Hand-made networks",
    within="answer",
    wide=True,
    shown=always,
    rows=rows,
    finding=lambda data, rows: "Retrained answers and hand-made networks, trained in the same way",
    template="comparison_baselines.html",
)
