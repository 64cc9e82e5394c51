"""Everything that is printed goes through here, because names, files and databases may hold any text.

    say(f"search {name}: ...")           print one or more lines, with control characters escaped
    say(text, error=True)                the same on standard error
    escaped(name)                        one value inside a longer line, with line ends escaped, too
    plain_console().print(table)         Rich (plain_console.py): cells and titles are plain text, never markup

`print` is refused by the linter in this folder.
"""

from __future__ import annotations

import logging
import sys

# Several scripts and some emoji are written with these; they are harmless.
_JOINERS = "\u200c\u200d"


def escaped(value: object, *, keep: str = "") -> str:
    """The text with unprintable characters as Python writes them: ESC as \\x1b, a new line as \\n.

    These are control characters, invisible ones, those that change the direction of writing, and surrogates (from file
    names that are not UTF-8). Characters in `keep` stay.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep or char in _JOINERS else ascii(char)[1:-1] for char in text
    )


def say(text: object = "", *, error: bool = False, flush: bool = False) -> None:
    """Print lines, with control characters escaped."""
    print(escaped(text, keep="\n"), file=sys.stderr if error else sys.stdout, flush=flush)


def take_any_text() -> None:
    """Let the standard streams escape characters that their encoding lacks: é in ASCII becomes \\xe9."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


class LogFormatter(logging.Formatter):
    """Log lines, escaped as `say` does."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return escaped(super().format(record), keep="\n")
