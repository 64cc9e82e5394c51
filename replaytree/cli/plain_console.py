"""Rich, to which every string is text."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from replaytree.cli.text import escaped


class PlainConsole(Console):
    """A console to which a string is text: no markup, no names of emoji, nothing that steers the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that a table or `print` is given comes through here."""
        return super().render_str(escaped(text, keep="\n"), **options | {"markup": False, "emoji": False})
