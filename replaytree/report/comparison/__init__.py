"""The sections of the page that compares searches, in its order: a new one is a file here and a line in the list."""

from __future__ import annotations

from typing import Any

from replaytree.report.comparison import answer, apart, bands, baselines, standings
from replaytree.report.comparison.searches import Comparison
from replaytree.report.section import Section

COMPARISON: tuple[Section[Comparison, Any], ...] = (
    answer.SECTION,
    bands.TRAININGS,
    bands.SECONDS,
    apart.SECTION,
    standings.SECTION,
    baselines.SECTION,
)
