"""What a search may be called: a name that can be typed, printed on one line, and be part of a file's name."""

from __future__ import annotations

from replaytree.errors import ConfigError

LONGEST_NAME = 100


def require_name(name: str) -> None:
    """Raise ConfigError for a name that a new search cannot have; searches that have such a name keep it."""
    if wrong := _wrong(name):
        raise ConfigError(f"name is {name[: LONGEST_NAME + 20]!r}; {wrong} (--name)")


def usable_name(text: str, *, otherwise: str) -> str:
    """What of a text, a folder's name say, can begin the name of a search; `otherwise` where nothing can."""
    kept = "".join(char if char.isprintable() and char not in "/\\" else "-" for char in text)
    return kept.lstrip("-. ")[: LONGEST_NAME - 20].strip() or otherwise


def _wrong(name: str) -> str | None:
    bad = next((char for char in name if not char.isprintable() or char in "/\\"), None)
    rules = (
        (not name.strip(), "a search needs a name"),
        (len(name) > LONGEST_NAME, f"it has {len(name)} characters, and a name has at most {LONGEST_NAME}"),
        (bad is not None, f"a name has no {bad!r}: no slashes, line ends or invisible characters"),
        (name != name.strip(), "a name does not begin or end with a space"),
        (name.startswith("-"), "a name that begins with '-' would be read as an option"),
        (set(name) == {"."}, "a name is not made of dots alone"),
    )
    return next((what for broken, what in rules if broken), None)
