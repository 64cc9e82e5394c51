"""Options that several commands share."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from replaytree.cli.declared import typed
from replaytree.cli.help import show_all
from replaytree.config import command, number, storage_url, whole_number
from replaytree.config.option import LARGEST
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from replaytree.records import Shape
    from replaytree.tree import ReplayTree


def whole(help: str, *flags: str, least: int = 1, most: int = LARGEST, panel: str | None = None) -> Any:
    """An option that takes a whole number as people write it: 12, 100k, 1.5M."""

    def parse(text: str) -> int:
        value = whole_number(text)
        if value < least:
            raise ConfigError(f"{value} is less than {least}")
        if value > most:
            raise ConfigError(f"{value} is more than {most}")
        return value

    return typer.Option(*flags, help=help, metavar="N", parser=typed(parse), rich_help_panel=panel)


def decimal(help: str, *flags: str, low: float = -math.inf, high: float = math.inf, panel: str | None = None) -> Any:
    """An option that takes a number between two others."""

    def parse(text: str) -> float:
        value = number(text)
        if not math.isfinite(value):
            raise ConfigError(f"{value:g} is not a finite number")
        if not low <= value <= high:
            raise ConfigError(
                f"{value:g} is not a number of at least {low:g}{f', at most {high:g}' * (high < math.inf)}"
            )
        return value

    return typer.Option(*flags, help=help, metavar="X", parser=typed(parse), rich_help_panel=panel)


def search_names_like(context: typer.Context, incomplete: str) -> list[str]:
    """The names of searches with this beginning, for the shell's completion."""
    return [name for name in names_there(context.params.get("storage")) if name.startswith(incomplete)]


def names_there(storage: str | None) -> list[str]:
    """The names of the searches of a database; none where there is no database, or it cannot be read."""
    from replaytree.errors import ReplayTreeError
    from replaytree.tree import search_names

    try:
        return search_names(engine_of(storage))
    except (ReplayTreeError, OSError):
        return []


def shape_of(text: str | None) -> Shape:
    """'3x32x32' -> (3, 32, 32), which is also what None is; ConfigError for anything else."""
    found = re.fullmatch(r"([0-9]{1,7})x([0-9]{1,7})x([0-9]{1,7})", ("3x32x32" if text is None else text).strip())
    if found is None or "0" in {number.strip("0") or "0" for number in found.groups()}:
        raise ConfigError(f"--input is {text!r:.80}; write channels x height x width, as in 3x32x32")
    channels, height, width = map(int, found.groups())
    return channels, height, width


Storage = Annotated[
    str | None,
    typer.Option(
        help="The database: a SQLite file, or a URL such as postgresql://host/db.  [default: replaytree.db]",
        envvar="REPLAYTREE_STORAGE",
        metavar="URL",
        rich_help_panel="Most used",
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        help="The search's name; `replaytree list` shows them.", metavar="NAME", autocompletion=search_names_like
    ),
]
Which = Annotated[
    str | None,
    typer.Argument(
        help="The search's name; optional if there is only one search, or with --last.",
        metavar="NAME",
        autocompletion=search_names_like,
    ),
]
Last = Annotated[bool, typer.Option("--last", help="The search that was started last.")]
Input = Annotated[
    str | None,
    typer.Option("--input", help="Channels, height and width of the images.  [default: 3x32x32]", metavar="CxHxW"),
]
Classes = Annotated[
    int | None, whole("Classes of the images, or words of the vocabulary.  [default: 10; 10000]", "--classes", least=2)
]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
Episodes = Annotated[
    int | None,
    whole("Stop after this many episodes, replays included.", least=-LARGEST, panel="When to stop"),
]
Trainings = Annotated[
    int | None,
    whole("Stop after this many trainings.", least=-LARGEST, panel="Most used"),
]
Hours = Annotated[
    float | None,
    decimal("Stop after this many hours.", panel="Most used"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.", rich_help_panel="Machine")]
DataDir = Annotated[
    str | None,
    typer.Option(
        help="Folder of the named data sets; missing ones are downloaded to it. Or where pictures of one's own were "
        "moved to.",
        envvar="REPLAYTREE_DATA",
        metavar="FOLDER",
    ),
]
Workers = Annotated[
    int | None,
    whole(
        "Train on this many processes at once, each with one thread; the seed and this number decide the tree.  "
        "[default: this process alone, or all that --ray-address has]",
        least=-LARGEST,
        panel="Machine",
    ),
]
Concurrent = Annotated[
    int | None,
    whole(
        "Trainings at once in this process, up to --ahead; the tree is the same.  [default: on a GPU --ahead, else 1]",
        least=-LARGEST,
        panel="Machine",
    ),
]
AsTheyCome = Annotated[
    bool,
    typer.Option(
        "--as-they-come",
        help="Take the results of workers as they come, not in the order of proposal: no seed repeats the tree.",
        rich_help_panel="Machine",
    ),
]
TimeoutPerTraining = Annotated[
    float | None,
    decimal("Record a training of a worker that takes more seconds than this as an error.", panel="Machine"),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="Workers of Ray: a running cluster, 'auto' for the one of this machine, 'local' to start one.",
        metavar="ADDRESS",
        rich_help_panel="Machine",
    ),
]
GpusPerWorker = Annotated[
    float | None,
    decimal("GPUs of each Ray worker; 0.5 lets two share one.  [default: an equal share of all]", panel="Machine"),
]
Threads = Annotated[
    int | None,
    whole(
        "Threads of a training; OMP_NUM_THREADS also sets it.  [default: one, or more if they are faster]",
        panel="Machine",
    ),
]
Tensorboard = Annotated[
    Path | None,
    typer.Option(help="Write scalars for TensorBoard into this folder.", metavar="FOLDER", rich_help_panel="Machine"),
]
HelpAll = Annotated[
    bool, typer.Option("--help-all", help="Show every option and exit.", is_eager=True, callback=show_all)
]
Format = Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="Format of the output.")]


def writable(context: typer.Context, file: Path | None) -> Path | None:
    """The callback of an option that names a file to write: it is tested before the work starts."""
    if file is None or context.resilient_parsing:
        return file
    if file.exists() and not file.is_file() and not file.is_char_device():
        raise ConfigError(f"{file} is not a file that can be written; choose another")
    is_new = not file.exists()
    with file.open("ab"):
        pass
    if is_new:
        file.unlink()
    return file


def readable(context: typer.Context, file: Path | None) -> Path | None:
    """The callback of an option that names a file to read."""
    if file is None or context.resilient_parsing:
        return file
    if file.exists() and not file.is_file():
        raise ConfigError(f"{file} is not a file; name one that can be read")
    with file.open("rb"):
        return file


def engine_of(storage: str | None) -> Engine:
    """The engine of an existing database."""
    from replaytree.tree import open_engine

    return open_engine(storage_url(storage), create=False)


def search_of(storage: str | None, name: str | None, *, last: bool = False) -> ReplayTree:
    """The tree of the chosen search: by its name, the last one, or the only one."""
    from replaytree.tree import ReplayTree, search_names

    engine = engine_of(storage)
    if name is None:
        names = search_names(engine)
        if not names:
            raise ConfigError(f"there are no searches yet; start one with `{command('run', storage=storage)}`")
        if len(names) > 1 and not last:
            shown = ", ".join(names[-20:])
            raise ConfigError(f"which search is meant? Name one of {shown}, or give --last")
        name = names[-1]
    elif last:
        raise ConfigError(f"--last is the search that was started last; leave out --last, or the name {name}")
    return ReplayTree.open(engine, name)


def tree_of(storage: str | None, name: str) -> ReplayTree:
    """The tree of an existing search."""
    from replaytree.tree import ReplayTree

    return ReplayTree.open(engine_of(storage), name)
