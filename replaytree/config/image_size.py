"""The size of images as people give it: 32, a square, or 24x64, rows by columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral

from replaytree.errors import ConfigError

LARGEST_SIDE = 4096
WANTED = f"rows x columns, as in 24x64, or the side of a square, of 1 to {LARGEST_SIDE} pixels"

ImageSize = int | str
"""As it is stored: the side of a square, and text for every other size, so that old configurations stay as they are."""

_TEXT = re.compile(r"([0-9]{1,7})(?:[x×]([0-9]{1,7}))?")


def image_size(given: object) -> ImageSize | None:
    """A size as it is stored, from a number, a text or a pair (rows, columns); None for anything else."""
    if isinstance(given, str):
        found = _TEXT.fullmatch(given.strip().lower())
        parts: list[object] = [] if found is None else [int(each) for each in found.groups() if each is not None]
    elif isinstance(given, Sequence):
        parts = list(given) if len(given) == 2 else []
    else:
        parts = [given]
    if not parts or not all(isinstance(each, Integral) and not isinstance(each, bool) for each in parts):
        return None
    rows, columns = int(str(parts[0])), int(str(parts[-1]))
    if not (1 <= rows <= LARGEST_SIDE and 1 <= columns <= LARGEST_SIDE):
        return None
    return rows if rows == columns else f"{rows}x{columns}"


def stored_size(given: object) -> ImageSize:
    """A size as it is stored; ConfigError for what is none."""
    size = image_size(given)
    if size is None:
        raise ConfigError(f"image_size is {str(given)!r:.80}; it must be {WANTED} (--image-size)")
    return size


def sides(given: object) -> tuple[int, int]:
    """(rows, columns) of any form of a size; ConfigError for what is none."""
    rows, _, columns = str(stored_size(given)).partition("x")
    return int(rows), int(columns or rows)
