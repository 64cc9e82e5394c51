"""Names of files and classes as text that can be printed and stored."""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Sequence


def as_text(name: str | os.PathLike[str]) -> str:
    r"""A name with `\xe9` for bytes that are not UTF-8 and `\x1b` for control characters, composed (NFC).

    macOS decomposes accents in file names, so that one class would have two names on two machines.
    """
    text = os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = unicodedata.normalize("NFC", text)
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) == "Cc" else c for c in text)


def some(names: Sequence[str], most: int = 10) -> str:
    """The first `most` names, and the number of the others."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def count_of(number: int, one: str, many: str | None = None) -> str:
    """'1 picture', '2 pictures'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as a word of a shell command."""
    return shlex.quote(as_text(path))
