"""The retrained answers of the searches and their baselines, side by side."""

from __future__ import annotations

from replaytree.report.baselines import NetworkRow, trained_rows
from replaytree.report.comparison.searches import Comparison
from replaytree.report.section import Section, always


def rows(data: Comparison) -> list[tuple[str, NetworkRow]]:
    """The name of the search and a row of its table; none where no search has a baseline."""
    found = [(search.name, row) for search in data.searches for row in trained_rows(search)]
    return [] if all(row.is_answer for _, row in found) else found


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
