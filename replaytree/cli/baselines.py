"""`replaytree baseline`: hand-made networks beside what a search found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from replaytree.cli.options import DataDir, Name, Quiet, Storage, Threads, tree_of, whole
from replaytree.cli.text import escaped, say
from replaytree.config import command
from replaytree.config.retraining import RetrainOptions

if TYPE_CHECKING:
    from replaytree.deliver import Subject
    from replaytree.deliver.baselines import Size
    from replaytree.training import Recipe
    from replaytree.tree import ReplayTree, Retraining

# Written out, because the networks themselves need a second to import.
NAMES = ("resnet8", "resnet18", "mobilenet-v3-small", "ds-cnn", "linear")


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
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained",
            help="Fine-tune torchvision's resnet18 and mobilenet-v3-small from its ImageNet weights, at their own "
            "size: a tenth of the learning rate, images of at least 96 pixels.",
        ),
    ] = False,
    preset: Preset = None,
    epochs: Annotated[
        int | None,
        whole("Epochs of each training.  [default: those of the retrained answer, else of `retrain`]"),
    ] = None,
    seeds: Annotated[
        int | None,
        whole("Models of each, with seeds 0, 1, ...  [default: as the last `retrain`, else 1]"),
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

    Split, recipe and epochs are those of the last `retrain` of the best prefix, or of any where it was not retrained;
    without one, and for options that are given, those of `retrain` itself. `report`, `best` and `compare` show them
    beside what was found.
    """
    tree = tree_of(storage, name)
    wish = Wish(
        names=tuple(baselines or ()), full_size=full_size, pretrained=pretrained, preset=preset, epochs=epochs,
        seeds=seeds, recipe=recipe, mirror=mirror, train_limit=train_limit, skip_bad=skip_bad, out=out, force=force,
        data_dir=data_dir, device=device, threads=threads, quiet=quiet,
    )  # fmt: skip
    trained = train_baselines(tree, wish)
    if not quiet:
        say("\nNext:")
        following = [] if trained is not None else [("retrain", tree.name)]
        for words in (*following, ("report", tree.name)):
            say(f"  {escaped(command(*words, storage=storage, data_dir=data_dir if words[0] == 'retrain' else None))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which baselines are to be trained, and how: the options of `baseline`."""

    names: tuple[str, ...] = ()
    full_size: bool = False
    pretrained: bool = False
    preset: str | None = None
    epochs: int | None = None
    seeds: int | None = None
    recipe: RetrainOptions = field(default_factory=RetrainOptions)
    mirror: bool = False
    train_limit: int | None = None
    skip_bad: bool = False
    out: Path = MODELS
    force: bool = False
    data_dir: str | None = None
    device: str = "auto"
    threads: int | None = None
    quiet: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the recipe is not that of what was retrained; a compiled network is trained by the same."""
        return replace(self.recipe, compile=False) != RetrainOptions() or self.preset is not None


def train_baselines(tree: ReplayTree, wish: Wish) -> Retraining | None:
    """Train and store them, and print what they come to; returns the answer that they are trained like, if any."""
    from replaytree.deliver.baselines import answer, baseline_subjects, size_of
    from replaytree.tree import require_writable

    require_writable(tree.engine)
    trained = answer(tree)
    size = None if wish.full_size or wish.pretrained else size_of(tree)
    if trained is not None and not wish.is_own:
        known = trained.last.training or {}
        limit = known.get("train_limit") if wish.train_limit is None else wish.train_limit
        wish = replace(wish, mirror=wish.mirror or bool(known.get("mirror")), train_limit=limit)
    subjects, notes = baseline_subjects(
        tree, wish.names, size=size, pretrained=wish.pretrained, train_limit=wish.train_limit, skip_bad=wish.skip_bad,
        data_dir=wish.data_dir,
    )  # fmt: skip
    if not wish.quiet:
        for note in notes:
            say(f"note: {escaped(note)}", error=True)
        say(escaped("as wide as published" if size is None else f"scaled to {size.text}"), flush=True)
    for subject in subjects:
        _train(subject, wish, tree, trained, size)
    return trained


def _train(subject: Subject, wish: Wish, tree: ReplayTree, trained: Retraining | None, size: Size | None) -> None:
    """One baseline with all seeds, each stored when it is done."""
    from replaytree.deliver import retrain, store
    from replaytree.training import Threads as Chosen
    from replaytree.training import resolve_device

    device = resolve_device(wish.device)
    full, epochs = _recipe(subject, wish, None if wish.is_own else trained, device=device.type)
    name, graph = subject.labels[0], subject.graph
    if not wish.quiet:
        larger = "" if size is None or not size.is_under(graph) else "; larger than that, so it does not count"
        say(escaped(f"{name}: {graph.params:,} parameters, {graph.flops:,} FLOPs{larger}"), flush=True)
    seeds = wish.seeds or (1 if trained is None else len(trained.models))
    done = []
    for result in retrain(
        subject, recipe=full, epochs=epochs, mirror=wish.mirror, seeds=range(seeds), folder=wish.out,
        device=device, force=wish.force, on_epoch=None if wish.quiet else print_epoch,
        threads=Chosen.of(wish.threads), engine=tree.engine,
    ):  # fmt: skip
        store(result, subject, tree.engine)
        say(f"{name}  {described(result)}", flush=True)
        done.append(result)
    say(f"{name}  {summary(done, is_chosen=False)}", flush=True)


def _recipe(subject: Subject, wish: Wish, trained: Retraining | None, *, device: str) -> tuple[Recipe, int]:
    """The recipe and the epochs: those of what was retrained, where there is such and no options are given."""
    from replaytree.deliver.baselines import fine_tuning, recipe_as
    from replaytree.deliver.final_recipe import full_recipe

    full, epochs = full_recipe(subject, wish.recipe, preset=wish.preset, epochs=wish.epochs, device=device)
    if trained is not None:
        full = recipe_as(trained.last, full, normed=subject.graph.is_normed)
        epochs = trained.last.epochs if wish.epochs is None else wish.epochs
    return full if subject.start is None else fine_tuning(full), epochs
