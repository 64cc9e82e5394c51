"""Rewriting a report while its search runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from replaytree.report.page import write_report
from replaytree.tree import ReplayTree


def watch_report(
    tree: ReplayTree,
    *,
    out: str | Path = "reports",
    against: ReplayTree | None = None,
    interval_seconds: float = 10.0,
    on_write: Callable[[Path], None],
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Write the report now, and again whenever there are new episodes, until interrupted.

    The last page, written on the way out, no longer reloads itself.
    """
    seen = None
    try:
        while True:
            count = tree.episode_count
            if count != seen:
                on_write(write_report(tree, out=out, against=against, refresh_seconds=interval_seconds))
                seen = count
            (sleep or time.sleep)(interval_seconds)
    except KeyboardInterrupt:
        on_write(write_report(tree, out=out, against=against))
