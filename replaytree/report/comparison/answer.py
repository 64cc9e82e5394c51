"""Who is ahead, and what to mind before believing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.metric import Metric
from replaytree.report.comparison.apart import GroupStanding, comparable_standings
from replaytree.report.comparison.searches import Comparison, saw_the_same
from replaytree.report.reading import SearchData
from replaytree.report.section import Section, always
from replaytree.report.wording import counted, joined


@dataclass(frozen=True, slots=True)
class Ahead:
    """The heading, and differences between the searches that a reader might not expect."""

    heading: str
    cautions: list[str]


def ahead(data: Comparison) -> Ahead:
    """The rows of the section."""
    heading = standing_finding(
        comparable_standings(data), data.common, metric=data.metric, same_images=data.same_images
    )
    return Ahead(heading, cautions(data.searches))


def standing_finding(
    standings: Sequence[GroupStanding], common: int, *, metric: Metric, same_images: bool = True
) -> str:
    """Who is ahead after the common trainings, if the intervals support it and the images are the same."""
    if not same_images:
        return f"No fair comparison: these searches did not see the same {metric.items}"
    if not standings:
        return "No common trainings to compare yet"
    after = f"After {counted(common, 'training')}"
    if len(standings) == 1:
        return f"{after} {standings[0].label} has {metric.brief(standings[0].mean)}"
    first = standings[0].label
    level = [each.label for each in standings[1:] if each.behind is not None and not each.behind.sign]
    behind = [each.label for each in standings[1:] if each.behind is not None and each.behind.sign]
    if not level:
        return f"{after} {first} is ahead of {joined(behind)}"
    text = f"{after} {joined([first, *level])} are not told apart"
    return text + (f"; {first} is ahead of {joined(behind)}" if behind else "")


def cautions(searches: Sequence[SearchData]) -> list[str]:
    """Differences between the searches that a reader might not expect."""
    metric = searches[0].metric
    found = []
    if not saw_the_same(searches):
        found.append(f"The searches did not see the same {metric.items}, so their {metric.plural} cannot be compared.")
    elif len({data.info.data_json for data in searches}) > 1:
        found.append(
            f"The {metric.items} are the same, but split differently into training and validation (by the seed)."
        )
    if len({data.info.space_json for data in searches}) > 1:
        found.append("The searches chose from different layers or depths.")
    if len({data.max_epochs for data in searches}) > 1:
        budgets = ", ".join(f"{data.name}: {data.max_epochs or 'none'}" for data in searches)
        found.append(f"Their largest budgets differ, in epochs ({budgets}).")
    return found


SECTION = Section(
    name="answer",
    title="Searches side by side",
    shown=always,
    rows=ahead,
    finding=lambda data, rows: rows.heading,
    template="comparison_answer.html",
)
