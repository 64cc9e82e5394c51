"""`replaytree baseline`: hand-made networks beside what a search found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli import console, table
from replaytree.cli.declared import configured
from replaytree.cli.deliver import (
    MODELS,
    Force,
    Mirror,
    Out,
    Preset,
    SkipBad,
    TrainLimit,
    described,
    print_epoch,
    summary,
    with_final,
)
from replaytree.cli.options import DataDir, Name, Quiet, Storage, Threads, tree_of
from replaytree.cli.text import escaped, say
from replaytree.config import command
from replaytree.config.retraining import RetrainOptions

if TYPE_CHECKING:
    from replaytree.deliver import Subject
    from replaytree.metric import Metric
    from replaytree.report.baselines import NetworkRow
    from replaytree.training import Recipe
    from replaytree.tree import ModelInfo, ReplayTree, Retraining

# Written out, because the networks themselves need a second to import.
NAMES = ("resnet8", "resnet18", "ds-cnn", "linear")


def names_like(incomplete: str) -> list[str]:
    """The names of baselines with this beginning, for the shell's completion."""
    return [name for name in NAMES if name.startswith(incomplete)]


@configured(RetrainOptions, complete=with_final)
def baseline(
    *,
    name: Name,
    baselines: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Which networks: {', '.join(NAMES)}.  [default: all]",
            metavar="[BASELINE]...",
            autocompletion=names_like,
            show_default=False,
        ),
    ] = None,
    full_size: Annotated[
        bool,
        typer.Option(
            "--full-size", help="As wide as published.  [default: at most the search's limits, or its answer's size]"
        ),
    ] = False,
    preset: Preset = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of each training.  [default: those of the last `retrain`, else its own]")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Models of each, with seeds 0, 1, ...  [default: as the last `retrain`, else 1]"),
    ] = None,
    recipe: RetrainOptions,
    mirror: Mirror = False,
    train_limit: TrainLimit = None,
    skip_bad: SkipBad = False,
    out: Out = MODELS,
    force: Force = False,
    storage: Storage = None,
    data_dir: DataDir = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Train hand-made networks on a search's images, to see what the search is worth.

    Split, recipe and epochs are those of the last `retrain` of the search; without one, and for options that are given,
    those of `retrain` itself. `report`, `best` and `compare` show them beside what was found.
    """
    from replaytree.deliver import retrain as train
    from replaytree.deliver import store
    from replaytree.deliver.baselines import answer, baseline_subjects, size_of
    from replaytree.training import Threads as Chosen
    from replaytree.training import resolve_device
    from replaytree.tree import require_writable

    tree = tree_of(storage, name)
    require_writable(tree.engine)
    trained = answer(tree)
    size = None if full_size else size_of(tree)
    is_own = recipe != RetrainOptions() or preset is not None
    if trained is not None and not is_own:
        mirror = mirror or bool((trained.last.training or {}).get("mirror"))
        train_limit = _train_limit(trained.last) if train_limit is None else train_limit
    subjects, notes = baseline_subjects(
        tree, baselines or (), size=size, train_limit=train_limit, skip_bad=skip_bad, data_dir=data_dir
    )
    if not quiet:
        for note in notes:
            say(f"note: {escaped(note)}", error=True)
        say(escaped("as wide as published" if size is None else f"scaled to {size.text}"), flush=True)
    usual = 1 if trained is None else len(trained.models)
    for subject in subjects:
        full, chosen = _recipe(subject, recipe, None if is_own else trained, preset=preset, epochs=epochs)
        if not quiet:
            say(escaped(_opening(subject)), flush=True)
        done = []
        for result in train(
            subject, recipe=full, epochs=chosen, mirror=mirror, seeds=range(seeds or usual), folder=out,
            device=resolve_device(device), force=force, on_epoch=None if quiet else print_epoch,
            threads=Chosen.of(threads), engine=tree.engine,
        ):  # fmt: skip
            store(result, subject, tree.engine)
            say(f"{subject.labels[0]}  {described(result)}", flush=True)
            done.append(result)
        say(f"{subject.labels[0]}  {summary(done, is_chosen=False)}", flush=True)
    if not quiet:
        say("\nNext:")
        following = [] if trained else [("retrain", tree.name)]
        for words in (*following, ("report", tree.name)):
            say(f"  {escaped(command(*words, storage=storage, data_dir=data_dir if words[0] == 'retrain' else None))}")


def networks_lines(rows: Sequence[NetworkRow], *, width: int, metric: Metric) -> list[str]:
    """The table of the retrained answer and the baselines, under `best`."""
    of = "test" if any(row.is_tested for row in rows) else "validation"
    headings = ("network", "params", "FLOPs", "RAM", f"{of} {metric.name}", "answer ahead by", "epochs", "seeds")
    cells = [
        (
            f"node {row.node_id}, retrained" if row.is_answer else row.label,
            *(console.counted(cost) for cost in (row.params, row.flops, row.ram_bytes)),
            "-" if row.measured is None else metric.written(row.measured.mean),
            (row.unlike and "not compared") or ("-" if row.ahead is None else row.ahead.brief),
            row.epochs, len(row.seeds),
        )
        for row in rows
    ]  # fmt: skip
    return table.lines(headings, cells, width=width, left=("network",), spare=("epochs", "seeds", "RAM"))


def print_networks(tree: ReplayTree) -> None:
    """The table of a search's baselines and whether its answer beats them; nothing where none was trained."""
    if all(model.baseline is None for model in tree.models()):
        return
    from replaytree.report.baselines import network_rows, verdict
    from replaytree.report.reading import read_search

    data = read_search(tree)
    rows, found = network_rows(data), verdict(data)
    say("\n" + "\n".join(networks_lines(rows, width=table.terminal_width(), metric=data.metric)))
    if found is not None:
        say(escaped(found.text))


def _recipe(
    subject: Subject,
    options: RetrainOptions,
    trained: Retraining | None,
    *,
    preset: str | None,
    epochs: int | None,
) -> tuple[Recipe, int]:
    """The recipe and the epochs: those of what was retrained, where there is such and no options are given."""
    from replaytree.deliver.baselines import recipe_as
    from replaytree.deliver.final_recipe import full_recipe

    full, usual = full_recipe(subject, options, preset=preset, epochs=epochs)
    if trained is None:
        return full, usual
    return recipe_as(
        trained.last, full, normed=subject.graph.is_normed
    ), trained.last.epochs if epochs is None else epochs


def _train_limit(model: ModelInfo) -> int | None:
    limit = None if model.training is None else model.training.get("train_limit")
    return limit if isinstance(limit, int) else None


def _opening(subject: Subject) -> str:
    graph = subject.graph
    return f"{subject.labels[0]}: {graph.params:,} parameters, {graph.flops:,} FLOPs"
