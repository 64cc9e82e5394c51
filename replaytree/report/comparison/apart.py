"""Which groups are told apart after the trainings that all have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from replaytree.metric import ACCURACY
from replaytree.report.comparison.searches import Comparison, Group
from replaytree.report.difference import Difference, over_seeds
from replaytree.report.leading import Leader
from replaytree.report.section import Section, always
from replaytree.report.wording import counted


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A group after the common number of trainings: the mean of what ranked first, as people read it, and the
    difference to the group with the best mean (None for that one itself).
    """

    label: str
    seeds: int
    mean: float
    behind: Difference | None


def group_standings(found: Sequence[Group]) -> list[GroupStanding]:
    """The groups after the common number of trainings, best mean first, without those that measured nothing by then.

    Groups of the same seeds are compared seed by seed.
    """
    common = min((len(one.leaders) for group in found for one in group.curves), default=0)
    if not common:
        return []
    at = []
    for group in found:
        there = [(one.seed, leader) for one in group.curves if (leader := one.leaders[common - 1]) is not None]
        if there:
            at.append((group.label, sorted(there, key=lambda pair: pair[0])))
    metric = at[0][1][0][1].known.metric if at else ACCURACY

    def mean(there: Sequence[tuple[int, Leader]]) -> float:
        return fmean(metric.number(leader.accuracy) for _, leader in there)

    at.sort(key=lambda each: -metric.direction * mean(each[1]))
    standings: list[GroupStanding] = []
    for label, there in at:
        first = at[0][1]
        seeds = [[seed for seed, _ in each] for each in (first, there)]
        paired = seeds[0] == seeds[1] and len(set(seeds[0])) == len(seeds[0])
        behind = over_seeds([x for _, x in first], [x for _, x in there], paired=paired) if standings else None
        standings.append(GroupStanding(label, len(there), mean(there), behind))
    return standings


def comparable_standings(data: Comparison) -> list[GroupStanding]:
    """None where the searches did not see the same images."""
    return group_standings(data.groups) if data.same_images else []


@dataclass(frozen=True, slots=True)
class Apart:
    """The groups of which there are at least two, after so many trainings."""

    trainings: int
    standings: list[GroupStanding]


def apart(data: Comparison) -> Apart | None:
    """None where there is nothing to tell apart."""
    found = comparable_standings(data)
    return Apart(data.common, found) if len(found) > 1 else None


SECTION = Section(
    name="apart",
    title="What can be told apart",
    within="answer",
    wide=True,
    shown=always,
    rows=apart,
    finding=lambda data, rows: f"What can be told apart after {counted(rows.trainings, 'training')}",
    template="apart.html",
)
