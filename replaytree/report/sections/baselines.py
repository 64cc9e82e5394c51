"""Hand-made networks beside the retrained answer."""

from __future__ import annotations

from replaytree.report.baselines import network_rows
from replaytree.report.section import Section

SECTION = Section(
    name="baselines",
    title="Baselines",
    within="answer",
    rows=network_rows,
    finding=lambda data, rows: "Hand-made networks, trained in the same way",
    template="baselines.html",
)
