"""Reading a path as people write it: labels or indices."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from replaytree.errors import SpaceError
from replaytree.records import Path


def parse_path(text: str, labels: Sequence[str]) -> Path:
    """'res128 conv32k3', 'res128, conv32k3' or dot-joined indices, '16.0' -> a Path.

    A word that is both a label and an index is read as the label. Legality is not checked. Raises SpaceError, which
    names the layer that is not in `labels`.
    """
    words = text.replace(",", " ").split()
    if not words:
        raise SpaceError(f"path {text!r} has no layers; write labels, as in {labels[0]!r}, or indices, as in '0.0'")
    actions = {label: action for action, label in enumerate(labels)}
    if len(words) == 1 and words[0] not in actions and re.fullmatch(r"[0-9]+(\.[0-9]+)*", words[0]):
        path = tuple(int(part) for part in words[0].split("."))
        require_actions(path, len(labels))
        return path
    for depth, word in enumerate(words, start=1):
        if word not in actions:
            raise SpaceError(f"layer {depth} is {word!r}, which is not in this space; {_suggest(word, labels)}")
    return tuple(actions[word] for word in words)


def require_actions(path: Path, num_actions: int) -> None:
    """SpaceError unless every entry of `path` is an index below `num_actions`."""
    for depth, action in enumerate(path, start=1):
        if not 0 <= action < num_actions:
            raise SpaceError(f"layer {depth} is {action}, which is no index of this space; use 0 to {num_actions - 1}")


def _suggest(word: str, labels: Sequence[str]) -> str:
    by_lower = {label.lower(): label for label in labels}
    close = [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower)]
    return f"did you mean {', '.join(close)}?" if close else f"its layers are {', '.join(labels)}"
