"""`replaytree bench latency`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.completing import space_names_like
from replaytree.cli.options import Classes, Input, decimal, shape_of, whole
from replaytree.cli.text import say
from replaytree.config.space import SpaceOptions


def latency(
    space: Annotated[
        str, typer.Argument(help="A space of chains.", metavar="SPACE", autocompletion=space_names_like)
    ] = str(SpaceOptions.space),
    table: Annotated[
        Path | None, typer.Option(help="A latency table of it.  [default: it is measured first]", metavar="FILE")
    ] = None,
    networks: Annotated[int, whole("Random networks, of every depth in turn.", least=3)] = 30,
    seed: Annotated[int, whole("The networks are drawn with it.", least=0)] = 0,
    width: Annotated[
        float | None,
        decimal("Factor on all channel numbers.  [default: as `run` on this machine]"),
    ] = None,
    input_: Input = None,
    classes: Classes = None,
    max_layers: Annotated[int, whole("Layers of the deepest path.", most=1000)] = 6,
    json_: Json = None,
) -> None:
    """How well sums over a latency table tell the latency of whole networks, and what eager PyTorch takes."""
    from replaytree.bench.latency import compare
    from replaytree.deliver.latency import measured_table
    from replaytree.search.searched_space import layer_options
    from replaytree.space.catalogue import named_space
    from replaytree.space.graph_space import require_graphs
    from replaytree.space.latency_table import distinct_layers, read_table
    from replaytree.training import resolve_device

    image = shape_of(input_)
    given: dict[str, Any] = {} if width is None else {"width": width}
    options = layer_options(space, given, device=resolve_device("auto").type)
    number = 10 if classes is None else classes
    made = require_graphs(named_space(space, input_shape=image, num_classes=number, max_layers=max_layers, **options))
    if table is None:
        *_, (_, known) = measured_table(distinct_layers(made), image)
    else:
        known = read_table(table)
        known.require(made)
    rows, found = compare(made, known, networks=networks, seed=seed)
    for row in rows:
        say(f"{row.table_ms:8.4f} ms by the table, {row.onnx_ms:8.4f} ONNX, {row.eager_ms:8.4f} eager  {row.labels}")
    say(
        f"n = {found.n}: Spearman {found.spearman:.3f} (FLOPs: {found.spearman_flops:.3f}), error "
        f"{found.median_error:.1%} (median), {found.worst_error:+.1%} (worst); eager PyTorch takes "
        f"{found.eager_ratio:.2f} times as long as ONNX"
    )
    finish({"networks": [asdict(row) for row in rows], "agreement": asdict(found)}, json_)
