"""`replaytree bench recurrent`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import whole
from replaytree.cli.text import say


def recurrent(
    space: Annotated[str, typer.Option(help="A space of recurrent cells.")] = "darts-rnn",
    path: Annotated[str, typer.Option(help="A cell in it.")] = "DARTS_V2",
    hidden: Annotated[int, whole("Numbers of the state, and of the vector of a word.")] = 100,
    words: Annotated[int, whole("Words of the vocabulary.", least=2)] = 10_000,
    columns: Annotated[int, whole("Columns of the text.")] = 20,
    bptt: Annotated[int, whole("Words of a column in a step.")] = 35,
    rounds: Annotated[int, whole("Steps of each way.")] = 10,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also with torch.compile, which takes a minute or more first.")
    ] = False,
    json_: Json = None,
) -> None:
    """Processor milliseconds of a training step of a recurrent cell, in parts, and of other ways to compute it."""
    import torch

    from replaytree.bench.recurrent import measure_steps
    from replaytree.errors import SpaceError
    from replaytree.space.catalogue import USUAL_DATA, about, meant, named_space, names, parse_path_of

    if about(space).task != "text":
        raise SpaceError(f"space {space!r} is for images; those of recurrent cells are {', '.join(names('text'))}")
    each = meant(space, path)
    options = {**(each.options if each else {}), "hidden": hidden}
    written = each.path if each else path
    data = USUAL_DATA["text"] | {"num_classes": words}
    made = named_space(space, **data, max_layers=len(written.replace(",", " ").split()), **options)
    actions = parse_path_of(made, written)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ways = measure_steps(lambda: made.build(actions), bptt=bptt, columns=columns, rounds=rounds, compiled=compiled)
    for way in ways:
        say(
            f"{way.name:<32} {way.milliseconds:8.1f} ms  {way.ratio:5.2f}  "
            f"{way.epoch_seconds:6.0f} s an epoch of Penn Treebank"
        )
    finish({"ways": [asdict(way) for way in ways]}, json_)
