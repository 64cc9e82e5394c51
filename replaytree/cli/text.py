"""What reaches the terminal: the one door for text that people, file names and databases bring.

    say(f"search {name}: ...")           print a line or several; what could steer a terminal is written out
    say(text, error=True)                the same on standard error
    escaped(name)                        one value inside a longer line: its line ends are written out, too
    text.console().print(table)          Rich: cells and titles may be plain strings; nothing in them is markup

`print` is refused by the linter in this folder.
"""

from __future__ import annotations

import logging
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from replaytree.cli.plain_console import PlainConsole

# Words of several scripts, and families of emoji, are spelt with these; they steer nothing.
_JOINERS = "\u200c\u200d"


def escaped(value: object, *, keep: str = "") -> str:
    """The text with every character that does not show itself as Python writes it: ESC as \\x1b, a new line as \\n.

    These are control characters, those that turn the direction of writing, invisible ones, and halves of characters
    (from file names that are not UTF-8). `keep` names some that stay.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep or char in _JOINERS else ascii(char)[1:-1] for char in text
    )


def say(text: object = "", *, error: bool = False, flush: bool = False) -> None:
    """Print lines; whatever they hold, they steer no terminal."""
    print(escaped(text, keep="\n"), file=sys.stderr if error else sys.stdout, flush=flush)


def take_any_text() -> None:
    """Let the standard streams write what their encoding does not have, é in ASCII, as \\xe9."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def console(file: IO[str] | None = None) -> PlainConsole:
    """A console on the present standard output, or a file; wide enough for a row where it is no terminal."""
    # Rich takes 0.1 s to import, and most of what is printed needs none of it.
    from replaytree.cli.plain_console import PlainConsole

    return PlainConsole(
        file=file, width=None if (file or sys.stdout).isatty() else 140, highlight=False, soft_wrap=False
    )


class LogFormatter(logging.Formatter):
    """Log lines, as `say` would print them."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return escaped(super().format(record), keep="\n")
