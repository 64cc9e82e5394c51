"""`replaytree list`, `best` and `show`: what a database holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli import console
from replaytree.cli.options import Format, Json, Last, Storage, Which, engine_of, search_of, whole
from replaytree.cli.table import terminal_width
from replaytree.cli.text import escaped, say
from replaytree.config import command
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.tree import Node, ReplayTree

# A front is made of the most accurate prefixes: timing thousands of networks would take minutes.
PARETO_CANDIDATES = 500


def list_(storage: Storage = None, format_: Format = "table", json: Json = False) -> None:
    """Show the searches of a database."""
    from replaytree.tree import list_searches

    searches = list_searches(engine_of(storage))
    if json or format_ != "table":
        console.print_searches(searches, "json" if json else format_)
    elif searches:
        say("\n".join(console.searches_lines(searches, width=terminal_width())))
    else:
        say(f"no searches yet; start one with `{command('run', storage=storage)}`")


def best(
    name: Which = None,
    k: Annotated[int, whole("How many.", "-k")] = 10,
    max_depth: Annotated[int | None, whole("At most this many layers.")] = None,
    max_params: Annotated[int | None, whole("At most this many parameters, as in 100k.")] = None,
    max_flops: Annotated[int | None, whole("At most this many FLOPs (multiply-adds an image).")] = None,
    epochs: Annotated[
        int | None, whole("Compare trainings of this many epochs.  [default: the most of the search]")
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Only those that none beats in accuracy, parameters, FLOPs (and latency).")
    ] = False,
    measure_latency: Annotated[
        bool,
        typer.Option(
            "--measure-latency",
            help="Milliseconds an image (batch 1) through each network, on --device with one thread: median of 45.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    format_: Format = "table",
    json: Json = False,
    last: Last = False,
    storage: Storage = None,
) -> None:
    """Show the best prefixes by a lower bound of their validation accuracy, compared at one budget."""
    tree = search_of(storage, name, last=last)
    format_ = "json" if json else format_
    wanted = max(k, PARETO_CANDIDATES) if pareto else k
    nodes = tree.best(wanted, max_depth=max_depth, max_params=max_params, max_flops=max_flops, epochs=epochs)
    if (pareto or measure_latency) and nodes:
        nodes, latencies = _chosen(tree, nodes, k, pareto=pareto, device=device if measure_latency else None)
        console.print_nodes(nodes, format_, latencies=latencies)
        return
    if not nodes and format_ == "table":
        at = f"at {epochs} epochs" if epochs is not None else "at the most epochs of the search"
        limits = (("layers", max_depth), ("parameters", max_params), ("FLOPs", max_flops))
        asked = " and ".join(f"at most {limit} {what}" for what, limit in limits if limit is not None)
        if asked and tree.best(1, epochs=epochs):
            say(escaped(f"search {tree.name!r} has no prefix of {asked}; ask for more"))
        else:
            say(escaped(f"search {tree.name!r} has no prefix measured {at} that fits; ask for others with --epochs"))
    else:
        console.print_nodes(nodes, format_)


def _chosen(
    tree: ReplayTree, nodes: list[Node], k: int, *, pareto: bool, device: str | None
) -> tuple[list[Node], list[float] | None]:
    """The nodes to show, and their latencies where a device is given."""
    from replaytree.deliver import measure_latencies, pareto_nodes
    from replaytree.evaluate import resolve_device

    latencies = None if device is None else measure_latencies(tree, nodes, device=resolve_device(device))
    positions = (pareto_nodes(nodes, latencies) if pareto else list(range(len(nodes))))[:k]
    chosen = [nodes[position] for position in positions]
    return chosen, None if latencies is None else [latencies[position] for position in positions]


def show(
    name: Which = None,
    node: Annotated[
        str | None, typer.Argument(help="A node's number, or its path: 'res128 conv32k3', or '17.0'.", metavar="NODE")
    ] = None,
    format_: Format = "table",
    json: Json = False,
    last: Last = False,
    storage: Storage = None,
) -> None:
    """Show a node and its children. With NODE alone: of the only search, or with --last of the last one."""
    from replaytree.tree import list_models, retrainings

    if node is None:
        name, node = None, name
    if node is None:
        some = command("best", storage=storage)
        raise ConfigError(f"which node? Give its number or its layers; `{some}` shows some")
    tree = search_of(storage, name, last=last)
    format_ = "json" if json else format_
    found = tree.find(node)
    if format_ == "table":
        retrained = retrainings(list_models(tree.engine, search=tree.name, node_id=found.node_id))
        console.stdout().print(console.node_table(found, retrained))
        children = tree.children(found.path)
        if children:
            console.print_nodes(children, "table", title="its children")
    else:
        console.print_nodes([found], format_)
