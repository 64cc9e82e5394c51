"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from replaytree.config import storage_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from replaytree.tree import ReplayTree

Storage = Annotated[
    str | None,
    typer.Option(
        help="SQLAlchemy URL of the database.  [default: sqlite:///replaytree.db]", envvar="REPLAYTREE_STORAGE"
    ),
]
Name = Annotated[str, typer.Argument(help="The search's name; `replaytree list` shows them.")]
Episodes = Annotated[int | None, typer.Option(help="Stop after this many episodes, replays included.")]
Trainings = Annotated[int | None, typer.Option(help="Stop after this many trainings.")]
Hours = Annotated[float | None, typer.Option(help="Stop after this many hours.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
DataDir = Annotated[
    str | None, typer.Option(help="Folder of the named data sets; they are downloaded to it.", envvar="REPLAYTREE_DATA")
]
Workers = Annotated[
    int | None,
    typer.Option(help="Train on this many Ray workers at once.  [default: no Ray, or all that --ray-address has]"),
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="A running Ray cluster, or 'auto' for the one of this machine.  [default: one of our own]"),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(help="GPUs of each Ray worker; 0.5 lets two share one.  [default: an equal share of all]"),
]
Format = Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="How to print.")]


def engine_of(storage: str | None) -> Engine:
    """The engine of an existing database."""
    from replaytree.tree import open_engine

    return open_engine(storage_url(storage), create=False)


def tree_of(storage: str | None, name: str) -> ReplayTree:
    """The tree of an existing search."""
    from replaytree.tree import ReplayTree

    return ReplayTree.open(engine_of(storage), name)
