"""`replaytree list`, `best` and `show`: what a database holds."""

from __future__ import annotations

from typing import Annotated

import typer

from replaytree.cli import console
from replaytree.cli.options import Format, Name, Storage, engine_of, tree_of


def list_(storage: Storage = None) -> None:
    """Show the searches of a database."""
    from replaytree.tree import list_searches

    searches = list_searches(engine_of(storage))
    if searches:
        console.stdout().print(console.searches_table(searches))
    else:
        print("no searches yet; start one with `replaytree run`")


def best(
    name: Name,
    k: Annotated[int, typer.Option("-k", min=1, help="How many.")] = 10,
    max_depth: Annotated[int | None, typer.Option(help="At most this many layers.")] = None,
    max_params: Annotated[int | None, typer.Option(help="At most this many parameters.")] = None,
    max_flops: Annotated[int | None, typer.Option(help="At most this many FLOPs (multiply-adds an image).")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Compare trainings of this many epochs.  [default: the most of the search]")
    ] = None,
    format_: Format = "table",
    storage: Storage = None,
) -> None:
    """Show the best prefixes by average validation accuracy, compared at one budget."""
    tree = tree_of(storage, name)
    nodes = tree.best(k, max_depth=max_depth, max_params=max_params, max_flops=max_flops, epochs=epochs)
    if not nodes and format_ == "table":
        print(f"search {name!r} has no evaluated prefix that fits")
    else:
        console.print_nodes(nodes, format_)


def show(
    name: Name,
    node: Annotated[str, typer.Argument(help="A node's number, or its path: 'res128 conv32k3', or '17.0'.")],
    storage: Storage = None,
    format_: Format = "table",
) -> None:
    """Show a node and its children."""
    tree = tree_of(storage, name)
    found = tree.find(node)
    if format_ == "table":
        console.stdout().print(console.node_table(found))
        children = tree.children(found.path)
        if children:
            console.print_nodes(children, "table", title="its children")
    else:
        console.print_nodes([found], format_)
