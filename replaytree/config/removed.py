"""Options that a search once had: refused where somebody gives one, read and left out where a search has it stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from replaytree.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Removed:
    """Why an option went, the stored value that changed nothing, and what is different in a search with another."""

    why: str
    off: object
    now: str


REMOVED = {
    "calibrate": Removed("depth calibration made rankings less faithful", off=0.0, now="its averages are now plain"),
}
"""The removed fields of SearchConfig, by name."""


def refuse(names: Iterable[str]) -> None:
    """ConfigError for the first of the names that is a removed option."""
    for name in names:
        if name in REMOVED:
            raise ConfigError(f"{removed_flag(name)} was removed, because {REMOVED[name].why}; leave it out")


def without_unused(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored configuration without the removed options that changed nothing in it."""
    return {name: value for name, value in stored.items() if name not in REMOVED or value != REMOVED[name].off}


def removed_notes(stored: Mapping[str, object]) -> list[str]:
    """What to tell of a stored configuration, one text for each removed option that it makes use of."""
    used = {name: stored[name] for name in without_unused(stored) if name in REMOVED}
    return [
        f"it was begun with {removed_flag(name)} {value!r:.40}, which was removed, because {REMOVED[name].why}; "
        f"{REMOVED[name].now}"
        for name, value in used.items()
    ]


def removed_flag(name: str) -> str:
    """The command-line option: 'calibrate' -> '--calibrate'."""
    return "--" + name.replace("_", "-")
