"""`replaytree report` and `compare`: pages that people browse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli import console
from replaytree.cli.options import Last, Storage, Which, decimal, engine_of, search_of, tree_of
from replaytree.cli.text import escaped, say

Out = Annotated[Path, typer.Option(help="Folder of the reports; each gets its own sub-folder.")]


def report(
    name: Which = None,
    out: Out = Path("reports"),
    against: Annotated[
        str | None, typer.Option(help="A random search on the same data to compare with.", metavar="NAME")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Rewrite the page while the search runs.")] = False,
    interval: Annotated[float, decimal("Seconds between looks at the search, with --watch.", low=1.0)] = 10.0,
    json: Annotated[
        bool, typer.Option("--json", help="Print the page's path and the search's figures as JSON.")
    ] = False,
    last: Last = False,
    storage: Storage = None,
) -> None:
    """Write OUT/NAME/index.html: what the search found and why, in one page that works offline."""
    from replaytree.report import watch_report, write_report

    tree = search_of(storage, name, last=last)
    companion = None if against is None else tree_of(storage, against)
    if watch:
        say("watching; Ctrl-C ends it", flush=True)
        watch_report(
            tree,
            out=out,
            against=companion,
            interval_seconds=interval,
            on_write=lambda path: say(escaped(path), flush=True),
        )
    elif json:
        page = write_report(tree, out=out, against=companion)
        console.print_report(tree.info(), page)
    else:
        say(escaped(write_report(tree, out=out, against=companion)))


def compare(
    names: Annotated[list[str], typer.Argument(help="Two or more searches; `replaytree list` shows them.")],
    out: Out = Path("reports"),
    storage: Storage = None,
) -> None:
    """Write a page that puts searches side by side; seeds of one configuration are drawn as a band."""
    from replaytree.report import write_comparison
    from replaytree.tree import ReplayTree

    engine = engine_of(storage)
    say(escaped(write_comparison([ReplayTree.open(engine, name) for name in names], out=out)))
