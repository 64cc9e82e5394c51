"""A finding of `check`: one value in one stored row that is wrong."""

from __future__ import annotations

from dataclasses import dataclass

Found = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Problem:
    """One invariant that one stored row breaks. `episode` is an episode's number; `repairable`: `repair` fixes it."""

    search: str
    invariant: str
    expected: Found
    found: Found
    node_id: int | None = None
    episode: int | None = None
    repairable: bool = False

    @property
    def text(self) -> str:
        """The problem as a sentence."""
        where = f"search {self.search!r}"
        if self.node_id is not None:
            where += f", node {self.node_id}"
        if self.episode is not None:
            where += f", episode {self.episode}"
        return f"{where}: {self.invariant} is {_short(self.found)}, expected {_short(self.expected)}"


def _short(value: Found) -> str:
    """As Python writes it, and not longer than a line."""
    if isinstance(value, str | bytes) and len(value) > 80:
        return f"{value[:60]!r}... ({len(value)} {'characters' if isinstance(value, str) else 'bytes'})"
    return repr(value)
