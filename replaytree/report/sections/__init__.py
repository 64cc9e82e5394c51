"""The sections of the report in the order of the page: a new one is a file here and a line in the list."""

from __future__ import annotations

from typing import Any

from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.report.sections import (
    against_random,
    answer,
    baselines,
    classes,
    costs,
    depth,
    effects,
    follows,
    history,
    mixture,
    network,
    next_steps,
    provenance,
    retrained,
    runners_up,
    tradeoffs,
    tree,
)

SECTIONS: tuple[Section[SearchData, Any], ...] = (
    answer.SECTION,
    retrained.SECTION,
    classes.SECTION,
    baselines.SECTION,
    next_steps.SECTION,
    against_random.SECTION,
    runners_up.SECTION,
    tree.SECTION,
    network.SECTION,
    history.SECTION,
    costs.SECTION,
    mixture.SECTION,
    depth.SECTION,
    effects.SECTION,
    follows.SECTION,
    tradeoffs.SECTION,
    *tradeoffs.PARTS,
    provenance.SECTION,
)
