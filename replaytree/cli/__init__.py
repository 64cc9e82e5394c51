"""The command line: parse, call, print. One file a group of commands; errors become exit codes here."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from replaytree.cli.bench import bench
from replaytree.cli.care import db, doctor
from replaytree.cli.deliver import export, predict, retrain
from replaytree.cli.read import best, list_, show
from replaytree.cli.report import compare, report
from replaytree.cli.run import resume, run
from replaytree.cli.text import escaped, say, take_any_text
from replaytree.errors import ReplayTreeError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"replaytree {version('replaytree')}")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find a good network for an image data set; keep every prefix it trains in a SQL tree."""


app.command(rich_help_panel="Search")(run)
app.command(rich_help_panel="Search")(resume)
app.command("list", rich_help_panel="Look")(list_)
app.command(rich_help_panel="Look")(best)
app.command(rich_help_panel="Look")(show)
app.command(rich_help_panel="Look")(report)
app.command(rich_help_panel="Look")(compare)
app.command(rich_help_panel="Take away")(retrain)
app.command(rich_help_panel="Take away")(export)
app.command(rich_help_panel="Take away")(predict)
app.add_typer(db, name="db", rich_help_panel="Look after")
app.command(rich_help_panel="Look after")(doctor)
app.add_typer(bench, name="bench", rich_help_panel="Look after")


def main(args: list[str] | None = None) -> None:
    """Run the command line; the one place where errors become exit codes."""
    take_any_text()
    # Where a connection is lost, our own warning says so, and psycopg's about its pipeline only puzzles.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    try:
        app(args)
    except ReplayTreeError as error:
        say(f"Error: {escaped(error)}", error=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        say("Stopped at once; what was committed stays.", error=True)
        sys.exit(130)
