"""`replaytree latency-table`: how long every layer of a space takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli.completing import space_names_like
from replaytree.cli.declared import configured
from replaytree.cli.options import Classes, Input, shape_of, whole, writable
from replaytree.cli.text import escaped, say
from replaytree.config.space import LayerOptions, SpaceOptions, given_text
from replaytree.errors import ConfigError


@configured(LayerOptions)
def latency_table(
    space: Annotated[
        str,
        typer.Argument(help="`replaytree spaces` lists them.", metavar="SPACE", autocompletion=space_names_like),
    ] = str(SpaceOptions.space),
    out: Annotated[
        Path | None, typer.Option(help="The CSV to write.", metavar="FILE", callback=writable, show_default=False)
    ] = None,
    input_: Input = None,
    classes: Classes = None,
    max_layers: Annotated[int, whole("Layers of the deepest path.", most=1000)] = 6,
    layers: LayerOptions = LayerOptions(),  # noqa: B008
) -> None:
    """Time every layer of a space of chains at its shapes, as ONNX in onnxruntime with one thread, into a CSV.

    `run --latency-table FILE` takes it, or one with the same columns that was measured elsewhere. It has the layers of
    a run with the same options, --input and --classes being those of its images.
    """
    from replaytree.deliver.latency import measured_table
    from replaytree.search.searched_space import layer_options
    from replaytree.space.catalogue import named_space
    from replaytree.space.latency_table import distinct_layers, write_table
    from replaytree.training import resolve_device

    if out is None:
        raise ConfigError("name the file to write: --out lat.csv")
    image = shape_of(input_)
    # Those of a search that is given as little, on this machine.
    options = layer_options(space, layers.given(), device=resolve_device("auto").type)
    made = named_space(
        space, input_shape=image, num_classes=10 if classes is None else classes, max_layers=max_layers, **options
    )
    parts = distinct_layers(made)
    words = [space, *(given_text(option, value) for option, value in options.items())]
    say(f"{len(parts):,} layers of {escaped(' '.join(words))} at distinct shapes")
    for done, table in measured_table(parts, image):
        say(f"{done:,} measured", flush=True)
        write_table(out, table, parts[:done])
    say(f"wrote {out}")
