"""`replaytree delete` and `replaytree rename`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli.console import counting
from replaytree.cli.options import Storage, engine_of, search_names_like
from replaytree.cli.text import escaped, say

if TYPE_CHECKING:
    from sqlalchemy import Engine

Searches = Annotated[
    list[str],
    typer.Argument(
        help="The searches; `replaytree list` shows them.", metavar="NAME", autocompletion=search_names_like
    ),
]
Old = Annotated[str, typer.Argument(help="The search's current name.", metavar="OLD", autocompletion=search_names_like)]


def delete(
    names: Searches,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    storage: Storage = None,
) -> None:
    """Delete searches with everything stored about them, the weights of supernets too; trained models stay."""
    from replaytree.tree import ReplayTree, delete_search

    engine = engine_of(storage)
    trees = [ReplayTree.open(engine, name) for name in dict.fromkeys(names)]
    for tree in trees:
        # Before anybody is asked, and before the first is deleted.
        tree.require_free(drives=False)
    infos = [tree.info() for tree in trees]
    for info in infos:
        told = f"{counting(info.training_count, 'training')}, {counting(info.node_count, 'node')}"
        if not yes:
            typer.confirm(f"Delete search {escaped(info.name)} ({told})?", abort=True)
        left = _files(engine, info.name)
        delete_search(engine, info.name)
        say(f"deleted search {escaped(info.name)}: {told}")
        for file in left:
            say(f"left on disk: {escaped(file)}")


def rename(
    old: Old, new: Annotated[str, typer.Argument(help="Its new name.", metavar="NEW")], storage: Storage = None
) -> None:
    """Give a search another name."""
    from replaytree.tree import rename_search

    engine = engine_of(storage)
    rename_search(engine, old, new)
    say(f"search {escaped(old)} is now {escaped(new)}")
    for file in _files(engine, old, models_of=new):
        say(f"keeps its old name: {escaped(file)}")


def _files(engine: Engine, name: str, *, models_of: str | None = None) -> list[Path]:
    """What lies on the disk of a search called `name`: its report, where `report` writes by default, and its models."""
    from replaytree.report.files import folder_name
    from replaytree.tree import list_models

    models = [Path(model.weights_path) for model in list_models(engine, search=models_of or name)]
    return [file for file in (Path("reports") / folder_name(name), *models) if file.exists()]
