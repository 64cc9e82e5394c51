"""The command line: parse, call, print. One file a group of commands; errors become exit codes here."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer

from replaytree.cli.bench import bench
from replaytree.cli.care import db, doctor
from replaytree.cli.deliver import export, predict, retrain
from replaytree.cli.help import LongCommand, PanelCommand, PanelGroup
from replaytree.cli.read import best, list_, show
from replaytree.cli.report import compare, report
from replaytree.cli.run import resume, run
from replaytree.cli.text import escaped, say, take_any_text
from replaytree.errors import ReplayTreeError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help is laid out in panels by our own classes: it is quick, and has room at 80 columns.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    cls=PanelGroup,
)


# Typer brings its own copy of click, or click, as its version is: this is its UsageError.
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]


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


for command, name, panel in (
    (run, None, "Search"),
    (resume, None, "Search"),
    (list_, "list", "Look"),
    (best, None, "Look"),
    (show, None, "Look"),
    (report, None, "Look"),
    (compare, None, "Look"),
    (retrain, None, "Take away"),
    (export, None, "Take away"),
    (predict, None, "Take away"),
    (doctor, None, "Look after"),
):
    app.command(name, cls=LongCommand if command is run else PanelCommand, rich_help_panel=panel)(command)
app.add_typer(db, name="db", cls=PanelGroup, rich_help_panel="Look after")
app.add_typer(bench, name="bench", cls=PanelGroup, rich_help_panel="Look after")


def _usage(error: Any) -> str:
    """One line on a command that cannot be read; of one that needs arguments and has none, its help."""
    context = error.ctx
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(context.get_help())
    path = context.command_path if context else "replaytree"
    return f"Error: {' '.join(error.format_message().split()).rstrip('.')}; `{path} --help` shows what there is"


def main(args: list[str] | None = None) -> None:
    """Run the command line; the one place where errors become exit codes."""
    take_any_text()
    # Where a connection is lost, our own warning says so, and psycopg's about its pipeline only puzzles.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    try:
        code = app(args, prog_name="replaytree", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except USAGE_ERROR as error:
        say(_usage(error), error=True)
        sys.exit(2)
    except typer.Abort:
        say("Nothing was done.", error=True)
        sys.exit(1)
    except ReplayTreeError as error:
        say(f"Error: {escaped(error)}", error=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        say("Stopped at once; what was committed stays.", error=True)
        sys.exit(130)
