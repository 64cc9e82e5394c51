"""Tables as plain lines. Nothing is cut: what does not fit beside the figures goes on its own lines."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from unicodedata import east_asian_width

from replaytree.cli.text import escaped

# Outside a terminal, a row is a line.
UNWATCHED_WIDTH = 140
INDENT = 6
_GAP = "  "


def terminal_width() -> int:
    """The columns of the terminal, or UNWATCHED_WIDTH if standard output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNWATCHED_WIDTH


def hanging(begin: str, text: str, width: int) -> list[str]:
    """`begin` and a text; what is too long for a line goes on below where the text began."""
    return textwrap.wrap(
        escaped(text), width, initial_indent=begin, subsequent_indent=" " * len(begin), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def lines(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    width: int,
    left: Sequence[str] = (),
    spare: Sequence[str] = (),
    last: str | None = None,
) -> list[str]:
    """The lines of a table. Columns are right-aligned, except those in `left`.

    If the table is wider than `width`, the column `last` goes below its row, wrapped. If it is still too wide, the
    `spare` columns are dropped one after the other until it fits.
    """
    cells = [[escaped(value) for value in row] for row in rows]
    names = list(headings)
    below: list[str] | None = None
    if last is not None and _needed(names, cells) > width:
        below = [row[names.index(last)] for row in cells]
        names, cells = _without(names, cells, last)
    for name in spare:
        if _needed(names, cells) > width:
            names, cells = _without(names, cells, name)
    sizes = _sizes(names, cells)
    found = []
    for number, row in enumerate([names, *cells]):
        padded = [
            cell + " " * (size - _wide(cell)) if name in (*left, last) else " " * (size - _wide(cell)) + cell
            for name, cell, size in zip(names, row, sizes, strict=True)
        ]
        found.append(_GAP.join(padded).rstrip())
        if below is not None and number > 0:
            indent = " " * INDENT
            found += textwrap.wrap(
                below[number - 1], width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )
    return found


def _needed(names: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    return sum(_sizes(names, cells)) + len(_GAP) * (len(names) - 1)


def _sizes(names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(_wide(cell) for cell in column) for column in zip(names, *cells, strict=True)]


def _wide(text: str) -> int:
    """Columns of a terminal that a text takes: Chinese and Japanese characters take two."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _without(names: list[str], cells: list[list[str]], name: str) -> tuple[list[str], list[list[str]]]:
    if name not in names:
        return names, cells
    place = names.index(name)
    return names[:place] + names[place + 1 :], [row[:place] + row[place + 1 :] for row in cells]
