"""A Rich console that prints every string as plain text. Rich is slow to import, and most output does not need it."""

from __future__ import annotations

import sys
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from replaytree.cli.text import escaped


class PlainConsole(Console):
    """A console that prints strings as text: no markup, no emoji names, no control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a string; every string of a table or of `print` passes through here."""
        return super().render_str(escaped(text, keep="\n"), **options | {"markup": False, "emoji": False})


def plain_console(file: IO[str] | None = None) -> PlainConsole:
    """A console on the present standard output, or a file; wide enough for a row if it is not a terminal."""
    return PlainConsole(
        file=file, width=None if (file or sys.stdout).isatty() else 140, highlight=False, soft_wrap=False
    )
