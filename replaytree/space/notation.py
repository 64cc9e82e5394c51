"""Labels that a space may have, and reading a path as people write it: labels, or actions joined by dots."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from replaytree.errors import SpaceError
from replaytree.records import Path, Space
from replaytree.space.coding import why_illegal
from replaytree.space.layers import require_label


def checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """The labels; SpaceError unless there is at least one, each is a word, and no two are equal."""
    labels = tuple(labels)
    if not labels:
        raise SpaceError("the space has no layers; give at least one")
    seen: dict[str, int] = {}
    for number, label in enumerate(labels):
        require_label(label)
        if label in seen:
            raise SpaceError(f"layers {seen[label]} and {number} have the same label, {label!r}; make labels unique")
        seen[label] = number
    return labels


def read_path(text: str, space: Space) -> Path:
    """'res128 conv32k3', 'res128, conv32k3' or dot-joined actions, '16.0' -> a Path.

    A word that is both a label and an action is read as the label. Legality is not checked. Raises SpaceError, which
    names the layer that the space has not.
    """
    words = text.replace(",", " ").split()
    if not words:
        example = space.decisions(1)[0].options[0]
        raise SpaceError(f"path {text!r} has no layers; write labels, as in {example!r}, or indices, as in '0.0'")
    if len(words) == 1 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", words[0]) and not _is_label(space, words[0]):
        return tuple(int(part) for part in words[0].split("."))
    path: Path = ()
    for word in words:
        path = (*path, space.action(path, word))
    return path


def parse_path(text: str, space: Space) -> Path:
    """As read_path; SpaceError also for a path that is illegal, saying at which layer, which decision, and why."""
    path = read_path(text, space)
    check_path(space, path)
    return path


def action_of(label: str, labels: Sequence[str], *, depth: int) -> int:
    """The index of a label; SpaceError, with what may have been meant, where it is none of them."""
    try:
        return labels.index(label)
    except ValueError:
        raise SpaceError(f"layer {depth} is {label!r}, which is not in this space; {_suggest(label, labels)}") from None


def require_depth(path: Path, max_layers: int) -> None:
    """SpaceError if a path has more than `max_layers` layers."""
    if len(path) > max_layers:
        raise SpaceError(f"the path has {len(path)} layers, more than max_layers, {max_layers} (--max-layers)")


def require_actions(path: Path, num_actions: int) -> None:
    """SpaceError unless every entry of `path` is an index below `num_actions`."""
    for depth, action in enumerate(path, start=1):
        if not 0 <= action < num_actions:
            raise SpaceError(f"layer {depth} is {action}, which is no index of this space; use 0 to {num_actions - 1}")


def check_path(space: Space, path: Path) -> None:
    """SpaceError unless `path` is legal: which layer is not, which decision of it, and why."""
    for depth, action in enumerate(path):
        reason = why_illegal(space, path[:depth], action)
        if reason is not None:
            raise SpaceError(f"layer {depth + 1} is illegal there: {reason}")


def _is_label(space: Space, word: str) -> bool:
    try:
        space.action((), word)
    except SpaceError:
        return False
    return True


def _suggest(word: str, labels: Sequence[str]) -> str:
    by_lower = {label.lower(): label for label in labels}
    close = [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower)]
    return f"did you mean {', '.join(close)}?" if close else f"its layers are {', '.join(labels)}"
