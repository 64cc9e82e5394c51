"""`replaytree bench text`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import DataDir, Storage, whole
from replaytree.cli.text import say

if TYPE_CHECKING:
    from replaytree.bench.text import Trained


def text(
    dataset: Annotated[str, typer.Option(help="ptb, or a folder with train.txt, valid.txt and test.txt.")] = "ptb",
    cell: Annotated[
        list[str] | None,
        typer.Option(
            help="rnn, lstm, ENAS, ENAS-LM, DARTS_V1, DARTS_V2, NASCell; may be repeated.  [default: all of them; none "
            "beside --search]"
        ),
    ] = None,
    search: Annotated[
        list[str] | None, typer.Option(help="Also the best cell of this search; may be repeated.")
    ] = None,
    storage: Storage = None,
    params: Annotated[int, whole("Parameters of a network, at most; it is as wide as they allow.")] = 1_200_000,
    epochs: Annotated[int, whole("Epochs a training.")] = 10,
    seeds: Annotated[int, whole("Trainings of a cell.")] = 3,
    train_limit: Annotated[int | None, whole("Train on the first words.  [default: all]")] = None,
    min_count: Annotated[int, whole("Words that train has fewer times become <unk>.")] = 1,
    option: Annotated[
        list[str] | None, typer.Option(help="A field of the recipe, NAME=VALUE, as in bptt=20; may be repeated.")
    ] = None,
    data_dir: DataDir = None,
    json_: Json = None,
) -> None:
    """Retrain recurrent cells on a text with one recipe and equal parameters: validation and test perplexity."""
    from replaytree.bench import text as measured
    from replaytree.bench.strategies import parse_options
    from replaytree.config import storage_url
    from replaytree.errors import ConfigError
    from replaytree.tree import ReplayTree

    for name in cell or ():
        if name not in measured.CELLS:
            raise ConfigError(f"--cell is {name!r}; it must be one of {', '.join(measured.CELLS)}")
    usual = [] if search else list(measured.CELLS)
    contenders = [measured.CELLS[name] for name in (usual if cell is None else cell)]
    contenders += [measured.found_by(ReplayTree.open(storage_url(storage), name), name) for name in search or ()]
    job = measured.Job(
        dataset, params, epochs, seeds, train_limit, min_count, data_dir, parse_options(option or [], [])
    )  # fmt: skip
    found = []
    for each in measured.measure(contenders, job):
        found.append(asdict(each))
        say(_told(each), flush=True)
    finish({"job": asdict(job), "cells": found}, json_)


def _told(found: Trained) -> str:
    from replaytree.bench.text import Mean

    def short(perplexity: float) -> str:
        return f"{perplexity:.1f}" if perplexity < 1e5 else f"{perplexity:.2g}"

    def spelt(values: tuple[float, ...]) -> str:
        if not values:
            return "     -"
        mean = Mean.of(values)
        span = "" if mean.interval is None else f" [{short(mean.interval[0])}, {short(mean.interval[1])}]"
        return f"{short(mean.mean):>6}{span}"

    return (
        f"{found.name:<10} validation {spelt(found.validation)}  test {spelt(found.test)}  "
        f"n = {len(found.validation)}  hidden {found.hidden}  {found.params:,} parameters  "
        f"{found.seconds:.0f} s a training  {found.labels}"
    )
