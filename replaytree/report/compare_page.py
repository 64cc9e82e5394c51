"""The page that compares searches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from replaytree.errors import ConfigError
from replaytree.report import html
from replaytree.report.commands import command
from replaytree.report.compare import (
    GroupStanding,
    curves,
    data_set,
    draw_bands,
    group_standings,
    groups,
    standing_rows,
)
from replaytree.report.difference import difference_text
from replaytree.report.files import folder_name, write_whole
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.wording import counted
from replaytree.tree import ReplayTree

MOST_NAMES = 4


def write_comparison(searches: Sequence[HasTree | ReplayTree], *, out: str | Path = "reports") -> Path:
    """Write `out`/<names>/index.html, and return its path. Raises ConfigError for fewer than two different searches."""
    found = [read_search(search) for search in searches]
    names = [data.name for data in found]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"compare got {', '.join(names) or 'nothing'}; give at least two searches, each once")
    shown = names if len(names) <= MOST_NAMES else [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1}-more"]
    return write_whole(Path(out) / folder_name("-vs-".join(shown)) / "index.html", comparison_html(found))


def comparison_html(searches: Sequence[SearchData]) -> str:
    """The page as text."""
    found = groups(searches, curves(searches))
    rows = standing_rows(searches, found)
    same = len({data_set(data) for data in searches}) == 1
    standings = group_standings(found) if same else []
    figures = {}
    if any(row.best is not None for row in rows):
        figures["trainings"] = draw_bands(found, "trainings")
        if any(row.seconds > 0 for row in rows):
            figures["seconds"] = draw_bands(found, "seconds")
    names = [data.name for data in searches]
    return html.render(
        "comparison.html",
        figures=figures,
        columns={},
        names=names,
        command=command(searches[0], "compare", names),
        name=_joined(names),
        finding=standing_finding(standings, min(row.trainings for row in rows), same_images=same),
        standings=[(each, difference_text(each.behind) if each.behind else "") for each in standings],
        rows=rows,
        groups=found,
        common=min(row.trainings for row in rows),
        cautions=cautions(searches),
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        refresh_seconds=None,
    )


def standing_finding(standings: Sequence[GroupStanding], common: int, *, same_images: bool = True) -> str:
    """Who is ahead after the common trainings, if the intervals support it and the images are the same."""
    if not same_images:
        return "No fair comparison: these searches did not see the same images"
    if not standings:
        return "No common trainings to compare yet"
    after = f"After {counted(common, 'training')}"
    if len(standings) == 1:
        return f"{after} {standings[0].label} has {standings[0].mean:.3f}"
    first = standings[0].label
    level = [each.label for each in standings[1:] if each.behind is not None and not each.behind.sign]
    behind = [each.label for each in standings[1:] if each.behind is not None and each.behind.sign]
    if not level:
        return f"{after} {first} is ahead of {_joined(behind)}"
    text = f"{after} {_joined([first, *level])} are not told apart"
    return text + (f"; {first} is ahead of {_joined(behind)}" if behind else "")


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def cautions(searches: Sequence[SearchData]) -> list[str]:
    """Differences between the searches that a reader might not expect."""
    found = []
    if len({data_set(data) for data in searches}) > 1:
        found.append("The searches did not see the same images, so their accuracies cannot be compared.")
    elif len({data.info.data_json for data in searches}) > 1:
        found.append("The images are the same, but split differently into training and validation (by the seed).")
    if len({data.info.space_json for data in searches}) > 1:
        found.append("The searches chose from different layers or depths.")
    if len({data.max_epochs for data in searches}) > 1:
        budgets = ", ".join(f"{data.name}: {data.max_epochs or 'none'}" for data in searches)
        found.append(f"Their largest budgets differ, in epochs ({budgets}).")
    return found
