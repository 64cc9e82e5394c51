"""`replaytree db import`: a search that was exported, or what is known of architectures from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console
from replaytree.cli.completing import space_names_like
from replaytree.cli.declared import configured
from replaytree.cli.options import Classes, Input, Storage, shape_of, whole
from replaytree.cli.text import escaped, say
from replaytree.config import option_name, storage_url
from replaytree.config.space import LayerOptions, SpaceOptions
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.metric import Metric
    from replaytree.records import Shape, Space
    from replaytree.search.known_files import Known


@configured(LayerOptions, unset="the space's own")
def import_(
    *,
    file: Annotated[
        str,
        typer.Argument(
            help="What `replaytree db export` wrote; or architectures and their accuracies: a CSV file with columns "
            "layers,accuracy (and epochs), or the storage of an Optuna study (a file or a URL).",
            metavar="FILE",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Another name for the search.  [default: its own; of the file or study]")
    ] = None,
    study: Annotated[str | None, typer.Option(help="The study of an Optuna storage.  [default: the only one]")] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Of a CSV or a study: the space that has the layers.  [default: xu24]",
            metavar="NAME",
            autocompletion=space_names_like,
        ),
    ] = None,
    input_: Input = None,
    classes: Classes = None,
    max_layers: Annotated[
        int | None,
        whole(
            "Of a CSV or a study: the most layers of the space, on which the networks of enas-macro depend.  "
            "[default: those of its longest path]",
            least=SpaceOptions.min_layers,
        ),
    ] = None,
    layers: LayerOptions,
    storage: Storage = None,
) -> None:
    """Store the search of an exported file; or what is known of architectures, for `run --warm-start`.

    If anything in the file is wrong, nothing is stored.
    """
    from replaytree.search.known_files import is_optuna

    if study is not None or is_optuna(file) or Path(file).suffix.lower() == ".csv":
        found = _known(
            file, study, name, storage_url(storage), space=space, shape=shape_of(input_), classes=classes,
            max_layers=max_layers, layers=layers.given(),
        )  # fmt: skip
        say("\nNext:")
        for words in (
            ("best", found),
            ("run", "--warm-start", found, "--strategy", "guided", *_same(space, max_layers, layers)),
        ):
            say(f"  {escaped(console.command(*words, storage=storage))}")
        return
    from replaytree.search.stored import import_search

    own = {"--space": space, "--input": input_, "--classes": classes, "--max-layers": max_layers}
    wrong = [flag for flag, value in own.items() if value is not None]
    if wrong := [*wrong, *map(option_name, layers.given())]:
        raise ConfigError(f"{wrong[0]} is for a CSV file or a study; an exported search brings its own: leave it out")
    done = import_search(storage_url(storage), Path(file), name=name)
    say(f"imported {done.text}\n\nNext:\n  {console.command('best', done.search, storage=storage)}")
    say(f"  {console.command('resume', done.search, '--trainings', 100, storage=storage)}")


def _same(space: str | None, max_layers: int | None, layers: LayerOptions) -> list[str]:
    """The options of a search in the same space."""
    named = [] if space is None else ["--space", space]
    named += [] if max_layers is None else ["--max-layers", str(max_layers)]
    return [*named, *(word for flag, value in layers.given().items() for word in _words(option_name(flag), value))]


def _words(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    return [flag, str(value)]


def _known(
    file: str,
    study: str | None,
    name: str | None,
    url: str,
    *,
    space: str | None,
    shape: Shape,
    classes: int | None,
    max_layers: int | None,
    layers: dict[str, Any],
) -> str:
    """Store architectures whose accuracies are known, and print what was stored; returns the search's name."""
    from replaytree import metric
    from replaytree.config import SearchConfig
    from replaytree.search.known import store_known
    from replaytree.search.known_files import is_optuna, read_csv, read_optuna
    from replaytree.space.catalogue import about, named_space
    from replaytree.tree import open_engine, require_writable, search_names, usable_name

    kind = space or SpaceOptions.space
    assert kind is not None, "there is a usual space"
    task = about(kind).task
    measured = metric.of(task)

    def make(depth: int) -> Space:
        most = max(max_layers or depth, SpaceOptions.min_layers)
        number = classes or (10 if task == "images" else 10_000)
        return named_space(kind, input_shape=shape, num_classes=number, max_layers=most, **layers)

    if study is not None or is_optuna(file):
        found = read_optuna(file, study, make, metric=measured)
    else:
        published = {each: architecture.path for each, architecture in about(kind).published.items()}
        found = read_csv(Path(file), make, metric=measured, published=published)
    config = SearchConfig().with_options(
        dataset=None, strategy="random", space=kind, max_layers=found.space.max_layers, **layers
    )
    engine = open_engine(url)
    require_writable(engine)
    name = name or _free(usable_name(found.name, otherwise="known"), search_names(engine))
    tree = store_known(engine, name, found.known, space=found.space, config=config)
    counted = console.counting(len(found.known), "architecture")
    say(escaped(f"imported search {tree.name!r}: {counted} of {kind}, {measured.name} {_range(found.known, measured)}"))
    if found.left_out:
        left = ", ".join(found.left_out)
        say(escaped(f"note: parameters that are no decisions of {kind} were left out: {left}"), error=True)
    return tree.name


def _range(known: Sequence[Known], metric: Metric) -> str:
    """'0.8000 to 0.9000', so that a person sees whether the numbers were read as they were meant."""
    worst, best = min(each.accuracy for each in known), max(each.accuracy for each in known)
    return f"{metric.shown(worst)} to {metric.shown(best)}"


def _free(stem: str, taken: Sequence[str]) -> str:
    """The stem, or the first of stem-2, stem-3, ... that is not taken."""
    return next(name for number in count(1) if (name := stem if number == 1 else f"{stem}-{number}") not in taken)
