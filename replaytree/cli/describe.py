"""`replaytree describe`: the network of a path, without a search."""

from __future__ import annotations

import json as js
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console, table
from replaytree.cli.completing import published_like, space_names_like
from replaytree.cli.declared import configured
from replaytree.cli.options import Classes, Format, Input, Json, shape_of, whole
from replaytree.cli.spaces import given_text
from replaytree.cli.text import say
from replaytree.config.space import LayerOptions, SpaceOptions
from replaytree.errors import SpaceError

if TYPE_CHECKING:
    from replaytree.records import Path, Shape
    from replaytree.space import DecisionSpace, Graph, Layer, LayerSpace
    from replaytree.space.plan import Published

COLUMNS = ("name", "depth", "layer", "inputs", "shape", "params", "flops")


@configured(LayerOptions, unset="the space's own")
def describe(
    path: Annotated[
        str,
        typer.Option(
            help="Labels, as in 'res128 conv32k3', or the name of a published architecture.",
            metavar="PATH",
            autocompletion=published_like,
        ),
    ],
    space: Annotated[
        str,
        typer.Option(
            help="The space; `replaytree spaces` lists them.", metavar="NAME", autocompletion=space_names_like
        ),
    ] = str(SpaceOptions.space),
    input_: Input = None,
    classes: Classes = None,
    max_layers: Annotated[
        int | None, whole("Layers of the deepest path of the space.  [default: those of the path]", most=1000)
    ] = None,
    layers: LayerOptions = LayerOptions(),  # noqa: B008
    format_: Format = "table",
    json: Json = False,
) -> None:
    """Show the network of any path: layers, shapes, parameters, FLOPs (multiply-adds an image), bytes."""
    from replaytree.space.catalogue import about, all_options, named_space

    known = about(space)
    given = layers.given()
    all_options(space, given)
    each = known.published.get(path.strip())
    if each is not None:
        path, given = each.path, {**each.options, **given}
    shape = each.input_shape if each is not None and input_ is None else shape_of(input_)
    made = named_space(
        space,
        input_shape=shape,
        num_classes=classes if classes is not None else 10 if each is None else each.num_classes,
        max_layers=_depth(path) if max_layers is None else max_layers,
        **given,
    )
    actions = _read(made, path, known.published)
    form = "json" if json else format_
    graph = made.network(actions)
    rows = [_row(*part) for part in _parts(graph)]
    if form == "csv":
        console.print_rows(rows, COLUMNS, form)
    elif form == "json":
        say(js.dumps(_whole(made, actions, graph) | {"nodes": rows}, indent=2))
    else:
        say("\n".join(_lines(made, actions, graph, rows)))


def _depth(path: str) -> int:
    """How many layers a path has, as people write it."""
    words = path.replace(",", " ").split()
    return max(1, len(words) if len(words) != 1 or not words[0].replace(".", "").isdigit() else words[0].count(".") + 1)


def _read(space: LayerSpace | DecisionSpace, path: str, published: Mapping[str, Published]) -> Path:
    """The path of a text; SpaceError, which also names what is published where one word was no layer."""
    try:
        return space.parse(path)
    except SpaceError as error:
        if len(path.split()) != 1 or not published:
            raise
        raise SpaceError(f"{error}; published architectures: {', '.join(published)}") from error


def _parts(graph: Graph) -> Iterator[tuple[str, int | None, Layer, tuple[str, ...], tuple[Shape, ...]]]:
    """(name, depth, layer, names of its inputs, their shapes) of every node, the merge and the head."""
    names = ("image", *(node.name for node in graph.nodes))
    for node in graph.nodes:
        inputs = tuple(names[source + 1] for source in node.inputs)
        yield node.name, node.depth, node.layer, inputs, graph.input_shapes(node)
    ends = tuple(names[source + 1] for source in graph.ends)
    if graph.merge is not None:
        yield "merge", None, graph.merge, ends, graph.end_shapes
    yield "head", None, graph.head, ends if graph.merge is None else ("merge",), (graph.end_shape,)


def _row(
    name: str, depth: int | None, layer: Layer, inputs: tuple[str, ...], shapes: tuple[Shape, ...]
) -> dict[str, Any]:
    shape = layer.output_shape(*shapes)
    return {
        "name": name,
        "depth": depth,
        "layer": layer.label,
        "inputs": " ".join(inputs),
        "shape": "x".join(map(str, shape or ())),
        "params": layer.params(*shapes),
        "flops": layer.flops(*shapes),
    }


def _whole(space: LayerSpace | DecisionSpace, path: Path, graph: Graph) -> dict[str, Any]:
    """What is known of the whole network."""
    from replaytree.space import coding

    return {
        "space": space.describe(),
        "labels": list(coding.labels(space, path)),
        "path": ".".join(map(str, path)),
        "params": graph.params,
        "flops": graph.flops,
        "peak_bytes": graph.peak_bytes,
        "activations": graph.activations,
    }


def _lines(space: LayerSpace | DecisionSpace, path: Path, graph: Graph, rows: list[dict[str, Any]]) -> Iterator[str]:
    """A table of the network, and its totals."""
    shape = "x".join(map(str, graph.input_shape))
    width = table.terminal_width()
    given = {name: value for name, value in space.describe().items() if name in vars(LayerOptions())}
    options = "".join(f", {given_text(name, value)}" for name, value in given.items())
    layers = console.counting(len(path), "layer")
    yield f"{space.name}: {layers} on images of {shape}, {space.num_classes} classes{options}"
    yield ""
    cells = [
        (row["name"], row["layer"], row["inputs"], row["shape"], f"{row['params']:,}", f"{row['flops']:,}")
        for row in rows
    ]
    headings = ("name", "layer", "inputs", "shape", "params", "FLOPs")
    inputs = "inputs" if max(len(row["inputs"]) for row in rows) > width // 3 else None
    yield from table.lines(
        headings, cells, width=width, left=("name", "layer", "inputs"), spare=("layer",), last=inputs
    )
    yield ""
    for what, number, unit in (
        ("params", graph.params, ""),
        ("flops", graph.flops, " multiply-adds an image"),
        ("peak", graph.peak_bytes, " bytes of feature maps at once, one image"),
    ):
        yield f"{what:<6}  {number:,}{unit}"
