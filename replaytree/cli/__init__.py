"""The command line: parse, call, print. One file a group of commands; outcome.py turns errors into exit codes."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from replaytree.cli.baselines import baseline
from replaytree.cli.bench import bench
from replaytree.cli.care import db, doctor
from replaytree.cli.datasette import datasette_metadata
from replaytree.cli.deliver import export, retrain
from replaytree.cli.describe import describe
from replaytree.cli.help import Commands, LongCommand, PlainCommand
from replaytree.cli.latency_table import latency_table
from replaytree.cli.make_data import data
from replaytree.cli.manage import delete, rename
from replaytree.cli.outcome import INTERRUPTED, end, unwinding
from replaytree.cli.predict import predict
from replaytree.cli.read import best, list_
from replaytree.cli.report import compare, report
from replaytree.cli.run import resume, run
from replaytree.cli.show import show
from replaytree.cli.spaces import spaces
from replaytree.cli.text import say, take_any_text
from replaytree.versions import version_of

app = Commands()


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"replaytree {version_of('replaytree')}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find a good network for an image data set; keep every prefix it trains in a SQL tree."""


for command, name, panel in (
    (run, None, "Search"),
    (resume, None, "Search"),
    (list_, "list", "Look"),
    (best, None, "Look"),
    (show, None, "Look"),
    (report, None, "Look"),
    (compare, None, "Look"),
    (spaces, None, "Look"),
    (describe, None, "Look"),
    (latency_table, "latency-table", "Look"),
    (retrain, None, "Take away"),
    (baseline, None, "Take away"),
    (export, None, "Take away"),
    (predict, None, "Take away"),
    (rename, None, "Look after"),
    (delete, None, "Look after"),
    (datasette_metadata, "datasette-metadata", "Look after"),
    (doctor, None, "Look after"),
):
    app.command(name, cls=LongCommand if command is run else PlainCommand, rich_help_panel=panel)(command)
app.add_typer(data, name="data", rich_help_panel="Look after")
app.add_typer(db, name="db", rich_help_panel="Look after")
app.add_typer(bench, name="bench", rich_help_panel="Look after")


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line, and exit."""
    _open_streams()
    take_any_text()
    # When a connection is lost, our own warning says so; psycopg's warning about its pipeline would only confuse.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    try:
        with unwinding():
            code = app(args, prog_name="replaytree", standalone_mode=False)
        if code == INTERRUPTED:
            # Typer swallows the interrupt without a word.
            raise KeyboardInterrupt
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        code = end(error)
    sys.exit(code if isinstance(code, int) else 0)


def _open_streams() -> None:
    """Replace standard streams that were closed at the start, so that printing to them is harmless."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
