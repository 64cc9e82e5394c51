"""Names of files and classes as text that can be printed and stored."""

from __future__ import annotations

import difflib
import os
import shlex
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path


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


def within(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> str:
    """A path as seen from a folder where it is written as one below it; any other path as it is."""
    inside = os.fspath(path).startswith(os.path.join(folder, ""))
    return as_text(os.path.relpath(path, folder) if inside else path)


def count_of(number: int, one: str, many: str | None = None) -> str:
    """'1 picture', '2 pictures'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def near_path(path: Path, fits: Callable[[Path], bool] = Path.exists) -> Path | None:
    """What is there under almost the name of a path that is not: a file that fits, or a folder on the way to it."""
    missing = next((each for each in reversed((path, *path.parents)) if not each.exists()), None)
    if missing is None or not missing.name:
        return None
    try:
        names = sorted(each.name for each in missing.parent.iterdir() if missing != path or fits(each))
    except OSError:
        return None
    rest = path.relative_to(missing)
    for name in difflib.get_close_matches(missing.name, names, n=3, cutoff=0.7):
        if fits(found := missing.with_name(name) / rest):
            return found
    return None


def did_you_mean(path: Path, fits: Callable[[Path], bool] = Path.exists) -> str:
    """'; did you mean models/a.onnx?', or nothing."""
    near = near_path(path, fits)
    return "" if near is None else f"; did you mean {as_text(near)}?"


def quoted(path: str | os.PathLike[str]) -> str:
    """A path as a word of a shell command."""
    return shlex.quote(as_text(path))
