"""What notebooks show of an object, as HTML: facts one a line, and tables. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# Long texts, as names of a thousand classes, would fill a screen.
_LONGEST = 400


def facts(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A heading, and a name and its value a line; None is left out."""
    lines = "".join(
        f'<tr><th style="text-align:left">{_cell(name)}</th><td style="text-align:left">{_cell(value)}</td></tr>'
        for name, value in rows
        if value is not None
    )
    return f"<div><b>{_cell(title)}</b><table>{lines}</table></div>"


def grid(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A heading and a table. Texts are at the left, all else at the right."""
    head = "".join(f"<th>{_cell(name)}</th>" for name in headings)
    body = "".join(f"<tr>{''.join(map(_column, row))}</tr>" for row in rows)
    return f"<div><b>{_cell(title)}</b><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _column(value: object) -> str:
    side = "left" if isinstance(value, str) and not value[:1].isdigit() else "right"
    return f'<td style="text-align:{side}">{_cell(value)}</td>'


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:,}" if type(value) is int else str(value)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
