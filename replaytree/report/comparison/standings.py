"""Where each search stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.report.comparison.searches import Comparison, Curve, Group
from replaytree.report.reading import SearchData
from replaytree.report.section import Section, always


@dataclass(frozen=True, slots=True)
class StandingRow:
    """One search in the table: what ranked first after the common number of trainings, and after all.

    `at_least` is the bound of the latter; `best_at` is the training since which it has led.
    """

    search: str
    group: str
    seed: int
    trainings: int
    seconds: float
    common_best: float | None
    best: float | None
    at_least: float | None
    best_at: int | None


def standing_rows(searches: Sequence[SearchData], found: Sequence[Group]) -> list[StandingRow]:
    """One row a search, in the order given."""
    of_search = {one.search: (group.label, one) for group in found for one in group.curves}
    common = min((len(one.leaders) for _, one in of_search.values()), default=0)
    rows = []
    for data in searches:
        label, one = of_search[data.name]
        rows.append(
            StandingRow(
                search=data.name,
                group=label,
                seed=data.info.seed,
                trainings=len(one.leaders),
                seconds=one.seconds[-1] if one.seconds else 0.0,
                common_best=one.best[common - 1] if common else None,
                best=one.best[-1] if one.best else None,
                at_least=None if data.best is None else data.best.lower_bound,
                best_at=_since(one),
            )
        )
    return rows


def _since(one: Curve) -> int | None:
    """The training since which the last leader has led."""
    if not one.leaders or one.leaders[-1] is None:
        return None
    path = one.leaders[-1].path
    others = [place for place, leader in enumerate(one.leaders) if leader is None or leader.path != path]
    return max(others, default=-1) + 2


def _rows(data: Comparison) -> list[StandingRow]:
    return standing_rows(data.searches, data.groups)


SECTION = Section(
    name="standings",
    title="Where each stands",
    within="answer",
    wide=True,
    shown=always,
    rows=_rows,
    finding=lambda data, rows: "Where each stands",
    template="standings.html",
)
