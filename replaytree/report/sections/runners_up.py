"""The prefixes that rank next."""

from __future__ import annotations

from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.tree import Node

MOST = 5


def runners_up(data: SearchData) -> tuple[Node, ...]:
    """Those behind the best prefix, measured at the largest budget like it."""
    return data.comparable[1 : 1 + MOST]


SECTION = Section(
    name="runners-up",
    title="The next best",
    within="answer",
    rows=runners_up,
    finding=lambda data, nodes: "The next best",
    template="runners_up.html",
)
