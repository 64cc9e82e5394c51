"""A Rich console that prints every string as plain text."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from replaytree.cli.text import escaped


class PlainConsole(Console):
    """A console that prints strings as text: no markup, no emoji names, no control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a string; every string of a table or of `print` passes through here."""
        return super().render_str(escaped(text, keep="\n"), **options | {"markup": False, "emoji": False})
