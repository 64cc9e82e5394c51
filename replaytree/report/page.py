"""The report of one search: its sections in order, as one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from replaytree.report import html
from replaytree.report.commands import commands_of
from replaytree.report.files import folder_name, write_whole
from replaytree.report.reading import HasTree, SearchData, read_search
from replaytree.report.section import Section
from replaytree.report.sections import SECTIONS
from replaytree.tree import ReplayTree


def write_report(
    search: HasTree | ReplayTree,
    *,
    out: str | Path = "reports",
    against: HasTree | ReplayTree | None = None,
    refresh_seconds: float | None = None,
) -> Path:
    """Write `out`/<name>/index.html, and return its path. The page is written whole, or the old one stays.

    `against` is a random search of the same data to compare with; with `refresh_seconds` the open page reloads
    itself. Raises ConfigError where the folder cannot be written.
    """
    data = read_search(search)
    if against is not None:
        data = replace(data, against=read_search(against))
    page = report_html(data, refresh_seconds=refresh_seconds)
    return write_whole(Path(out) / folder_name(data.name) / "index.html", page)


def report_html(
    data: SearchData, *, refresh_seconds: float | None = None, sections: Sequence[Section[SearchData, Any]] = SECTIONS
) -> str:
    """The page as text."""
    return html.render(
        "report.html",
        data,
        sections,
        name=data.name,
        commands=commands_of(data, data.against),
        refresh_seconds=refresh_seconds,
    )
