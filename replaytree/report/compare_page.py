"""The page that compares searches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replaytree.errors import ConfigError
from replaytree.report import html
from replaytree.report.commands import command
from replaytree.report.comparison import COMPARISON
from replaytree.report.comparison.searches import Comparison
from replaytree.report.files import folder_name, write_whole
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.section import Section
from replaytree.report.wording import joined
from replaytree.tree import ReplayTree

MOST_NAMES = 4


def write_comparison(searches: Sequence[HasTree | ReplayTree], *, out: str | Path = "reports") -> Path:
    """Write `out`/<names>/index.html, and return its path. Raises ConfigError for fewer than two different searches."""
    found = [read_search(search) for search in searches]
    names = [data.name for data in found]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"compare got {', '.join(names) or 'nothing'}; give at least two searches, each once")
    if len({data.metric for data in found}) > 1:
        kinds = ", ".join(f"{data.name} by {data.metric.name}" for data in found)
        raise ConfigError(f"compare got searches that are not measured alike ({kinds}); give those of one kind")
    shown = names if len(names) <= MOST_NAMES else [*names[: MOST_NAMES - 1], f"{len(names) - MOST_NAMES + 1}-more"]
    return write_whole(Path(out) / folder_name("-vs-".join(shown)) / "index.html", comparison_html(found))


def comparison_html(
    searches: Sequence[SearchData], *, sections: Sequence[Section[Comparison, Any]] = COMPARISON
) -> str:
    """The page as text."""
    names = [data.name for data in searches]
    return html.render(
        "comparison.html",
        Comparison.of(searches),
        sections,
        name=joined(names),
        command=command(searches[0], "compare", names),
        refresh_seconds=None,
    )
