"""`replaytree list` and `best`: what a database holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from replaytree.cli import console
from replaytree.cli.networks import add_networks, print_networks
from replaytree.cli.options import Format, Json, Last, Storage, Which, engine_of, search_of, whole
from replaytree.cli.table import terminal_width
from replaytree.cli.text import escaped, say
from replaytree.config import command
from replaytree.config.latency import LATENCY, no_table
from replaytree.config.limits import LIMITS, CostLimits
from replaytree.config.option import LARGEST
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.deliver.latency import Runtime
    from replaytree.tree import Node, ReplayTree

# Timing thousands of networks would take minutes.
TIMED = 500
PARETO = (
    'Only those that none beats in "at least", the bound of the accuracy, and in parameters, FLOPs and RAM: the Pareto '
    f"front of all prefixes. With --measure-latency also in latency, of the {TIMED} best and of that front."
)


EAGER = (
    "note: latencies are of eager PyTorch, which takes longer than the exported file; on a CPU, for images, with "
    "pip install 'replaytree[onnx]' they are those of ONNX in onnxruntime"
)


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
    k: Annotated[int | None, whole("How many.  [default: 10]", "-k")] = None,
    max_depth: Annotated[int | None, whole("At most this many layers.")] = None,
    max_params: Annotated[int | None, whole("At most this many parameters, as in 100k.")] = None,
    max_flops: Annotated[int | None, whole("At most this many FLOPs (multiply-adds an image).")] = None,
    max_ram: Annotated[int | None, whole("At most this many bytes of RAM with 8 bits a number, as in 64k.")] = None,
    max_flash: Annotated[int | None, whole("At most this many bytes of weights, of 8 bits each.")] = None,
    max_latency: Annotated[
        str | None, typer.Option(help="At most this long by the latency table, as in 2ms.", metavar="MS")
    ] = None,
    latency_table: Annotated[
        Path | None,
        typer.Option(help="How long layers take; the table then shows it.  [default: that of the search]"),
    ] = None,
    epochs: Annotated[
        int | None, whole("Compare trainings of this many epochs.  [default: the search's largest]")
    ] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help=PARETO)] = False,
    measure_latency: Annotated[
        bool,
        typer.Option(
            "--measure-latency",
            help="Milliseconds an image (batch 1) through each network, with one thread: median of 45. On a CPU of the "
            "ONNX export in onnxruntime, elsewhere in eager PyTorch.",
        ),
    ] = False,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Only the retrained answer and the baselines, which the table has below. As JSON and CSV they are "
            "rows of their own, with a kind (answer or baseline), accuracies and 95 % intervals.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    format_: Format = "table",
    json: Json = False,
    last: Last = False,
    storage: Storage = None,
) -> None:
    """Show the prefixes with the best lower bound of validation accuracy, at one budget."""
    tree = search_of(storage, name, last=last)
    format_ = "json" if json else format_
    info = tree.info()
    unit, metric = info.config.weights.unit, info.metric
    costs: CostLimits = {
        "max_params": max_params, "max_flops": max_flops, "max_ram": max_ram, "max_flash": max_flash,
    }  # fmt: skip
    if baselines:
        given = {
            "-k": k, "--max-depth": max_depth, "--max-params": max_params, "--max-flops": max_flops,
            "--max-ram": max_ram, "--max-flash": max_flash, "--max-latency": max_latency, "--epochs": epochs,
            "--latency-table": latency_table, "--pareto": pareto or None, "--measure-latency": measure_latency or None,
        }  # fmt: skip
        _print_baselines(tree, format_, given)
        return
    k = 10 if k is None else k
    file = latency_table or info.config.space.latency_table
    if max_latency is not None or latency_table is not None:
        _print_within(
            tree, file, max_latency, k=k, pareto=pareto, max_depth=max_depth, epochs=epochs, costs=costs, form=format_
        )
        add_networks(tree, format_, storage=storage)
        return
    # One more than is shown tells whether there are more.
    nodes = tree.best(min(k, LARGEST - 1) + 1, max_depth=max_depth, epochs=epochs, **costs)
    if (pareto or measure_latency) and nodes:
        from replaytree.deliver import pareto_nodes

        chosen, latencies = nodes[:k], None
        if pareto:
            chosen = pareto_nodes(tree, max_depth=max_depth, epochs=epochs, **costs)
        if measure_latency:
            more = tree.best(TIMED, max_depth=max_depth, epochs=epochs, **costs) if pareto else []
            chosen, latencies, runtime = _timed(tree, chosen, more, device=device)
            if runtime == "pytorch":
                say(EAGER, error=True)
        console.print_nodes(
            chosen[:k], format_, metric=metric, latencies=latencies and latencies[:k], unit=unit,
            has_final_form=info.has_final_form,
        )  # fmt: skip
        if pareto and len(chosen) > k and format_ == "table":
            say(f"{k} of {len(chosen)} on the front; -k shows more")
        add_networks(tree, format_, storage=storage)
        return
    if not nodes and format_ == "table":
        _print_none(tree, max_depth=max_depth, epochs=epochs, costs=costs)
    else:
        console.print_nodes(nodes[:k], format_, metric=metric, unit=unit, has_final_form=info.has_final_form)
        if len(nodes) > k and format_ == "table":
            is_all = all(limit is None for limit in (max_depth, epochs, *costs.values()))
            say(f"the best {k}{f' of {tree.comparable_count():,}' if is_all else ''}; -k shows more")
        add_networks(tree, format_, storage=storage)


def _print_baselines(tree: ReplayTree, form: console.Format, given: Mapping[str, object]) -> None:
    """The networks alone; ConfigError for options that choose among prefixes."""
    if flags := [flag for flag, value in given.items() if value is not None]:
        raise ConfigError(f"--baselines shows all networks that were trained in full; leave out {', '.join(flags)}")
    print_networks(tree, form)


def _print_none(tree: ReplayTree, *, max_depth: int | None, epochs: int | None, costs: CostLimits) -> None:
    """Why there is nothing to show."""
    at = f"at {console.counting(epochs, 'epoch')}" if epochs is not None else "at the most epochs of the search"
    named = {"layers": max_depth, **{limit.noun: costs.get(name) for name, limit in LIMITS.items()}}
    asked = " and ".join(f"at most {limit} {what}" for what, limit in named.items() if limit is not None)
    if asked and tree.best(1, epochs=epochs):
        say(escaped(f"search {tree.name!r} has no prefix of {asked}; allow more"))
    else:
        say(escaped(f"search {tree.name!r} has no prefix measured {at} that fits; ask for others with --epochs"))


def _print_within(
    tree: ReplayTree,
    file: Path | str | None,
    max_latency: str | None,
    *,
    k: int,
    pareto: bool,
    max_depth: int | None,
    epochs: int | None,
    costs: CostLimits,
    form: Literal["table", "json", "csv"],
) -> None:
    """The best prefixes that are as fast as is asked for, with their latencies by a table."""
    from replaytree.deliver import fastest, within_latency
    from replaytree.space.latency_table import read_table

    if file is None:
        raise ConfigError(no_table("--max-latency"))
    most = math.inf
    if max_latency is not None:
        if (asked := LATENCY.read(max_latency)) is None:
            raise ConfigError(f"--max-latency is {max_latency!r:.80}; write {LATENCY.wanted}")
        most = asked
    number = LARGEST // 4 if pareto else k
    nodes, latencies = within_latency(
        tree, read_table(file), k=number, most=most, max_depth=max_depth, epochs=epochs, **costs
    )
    positions = fastest(nodes, latencies)[:k] if pareto else range(len(nodes))
    chosen, spent = [nodes[each] for each in positions], [latencies[each] for each in positions]
    if not chosen and form == "table":
        say(escaped(f"search {tree.name!r} has no prefix that fits, of at most {most:g} ms; allow more"))
        return
    info = tree.info()
    console.print_nodes(
        chosen, form, metric=info.metric, latencies=spent, unit=info.config.weights.unit,
        has_final_form=info.has_final_form,
    )  # fmt: skip


def _timed(
    tree: ReplayTree, nodes: list[Node], more: list[Node], *, device: str
) -> tuple[list[Node], list[float], Runtime]:
    """The nodes and their latencies, and what ran them; with `more`, those that are then on the front of both."""
    from replaytree.deliver import fastest, measure_latencies
    from replaytree.training import resolve_device
    from replaytree.tree import rank

    every = sorted({node.node_id: node for node in (*nodes, *more)}.values(), key=rank) if more else nodes
    found = measure_latencies(tree, every, device=resolve_device(device))
    positions = fastest(every, found.milliseconds) if more else range(len(every))
    milliseconds = [found.milliseconds[position] for position in positions]
    return [every[position] for position in positions], milliseconds, found.runtime
