"""`replaytree describe`: the network of a path, without a search."""

from __future__ import annotations

import json as js
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console, table
from replaytree.cli.completing import published_like, space_names_like
from replaytree.cli.declared import configured
from replaytree.cli.options import Classes, Format, Input, Json, Storage, search_names_like, shape_of, tree_of, whole
from replaytree.cli.text import escaped, say
from replaytree.config.space import LayerOptions, SpaceOptions, given_text
from replaytree.errors import ConfigError

if TYPE_CHECKING:
    from replaytree.records import Path
    from replaytree.space import DecisionSpace, LayerSpace
    from replaytree.space.network import Network, Row
    from replaytree.tree import ReplayTree

# Of an image or a word, in words.
_ONE = {"image": "an image", "word": "a word"}
_ALIVE = {"image": "feature maps at once, one image", "word": "vectors at once, one word"}
COLUMNS = ("name", "depth", "layer", "inputs", "shape", "params", "flops")


@configured(LayerOptions, unset="the space's own")
def describe(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A search, for one of its nodes or another path of its space; without one, --path.",
            metavar="NAME",
            autocompletion=search_names_like,
        ),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(help="A node: its number, its path or its layers.  [default: the best, or what was derived]"),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            help="Labels, as in 'res128 conv32k3', or the name of a published architecture.",
            metavar="PATH",
            autocompletion=published_like,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Without a search: the space; `replaytree spaces` lists them.  [default: xu24]",
            metavar="NAME",
            autocompletion=space_names_like,
        ),
    ] = None,
    input_: Input = None,
    classes: Classes = None,
    max_layers: Annotated[
        int | None, whole("Layers of the deepest path of the space.  [default: those of the path]", most=1000)
    ] = None,
    layers: LayerOptions = LayerOptions(),  # noqa: B008
    storage: Storage = None,
    format_: Format = "table",
    json: Json = False,
) -> None:
    """Show the network of any path: layers, shapes, parameters, FLOPs (multiply-adds an image or a word), bytes.

    With NAME: of a node of a search, as it is searched; with --width, --input and the like as it would be then.
    """
    given = layers.given()
    images = {"input_shape": None if input_ is None else shape_of(input_), "num_classes": classes}
    common = {option: value for option, value in images.items() if value is not None}
    if max_layers is not None:
        common["max_layers"] = max_layers
    if name is None:
        title, made, actions = _of_space(space or str(SpaceOptions.space), node, path, given, common)
    elif space is not None:
        raise ConfigError(f"search {name!r} brings its own layers; leave out --space, or the name")
    else:
        title, made, actions = _of_search(tree_of(storage, name), node, path, given, common)
    form = "json" if json else format_
    graph = made.network(actions)
    rows = [_row(row) for row in graph.rows()]
    if form == "csv":
        console.print_rows(rows, COLUMNS, form)
    elif form == "json":
        say(js.dumps(_whole(made, actions, graph) | {"nodes": rows}, indent=2))
    else:
        say("\n".join([*title, *_lines(made, actions, graph, rows)]))


def _of_space(
    space: str, node: str | None, path: str | None, given: dict[str, Any], common: dict[str, Any]
) -> tuple[list[str], LayerSpace | DecisionSpace, Path]:
    """A path of a named space."""
    from replaytree.space.catalogue import USUAL_DATA, about, all_options, meant, named_space, parse_path_of

    if node is not None:
        raise ConfigError(f"--node {node} is a node of a search; give the search's name, too")
    if path is None:
        raise ConfigError(
            "there is nothing to describe: give the name of a search (`replaytree list`), or --path, and --space"
        )
    all_options(space, given)
    each = meant(space, path)
    if each is not None:
        path = each.path
        given = {**each.options, **given}
        common = {"input_shape": each.input_shape, "num_classes": each.num_classes, **common}
    usual = {**USUAL_DATA[about(space).task], "max_layers": _depth(path)}
    made = named_space(space, **{**usual, **common}, **given)
    return [], made, parse_path_of(made, path)


def _of_search(
    tree: ReplayTree, node: str | None, path: str | None, given: dict[str, Any], common: dict[str, Any]
) -> tuple[list[str], LayerSpace | DecisionSpace, Path]:
    """A node of a search, its best one, or another path in its space."""
    from replaytree.config import option_name
    from replaytree.space.catalogue import meant, names
    from replaytree.tree.stored_space import rebuilt_space

    if node is not None and path is not None:
        raise ConfigError("--node and --path were both given; give one of them")
    description = tree.info().space
    for option in given:
        if option not in description:
            raise ConfigError(f"the layers of search {tree.name!r} have no {option_name(option)} to change")
    title = []
    if path is None:
        chosen = tree.find_or_answer(node)
        path = " ".join(chosen.labels)
        title = [f"{escaped(tree.name)}, node {chosen.node_id}: {path}"]
    elif description["kind"] in names() and (each := meant(description["kind"], path)) is not None:
        path = each.path
    deep = {"max_layers": max(description["max_layers"], _depth(path))}
    made = rebuilt_space(description, tree.name, {**deep, **common, **given})
    # Read anew, because with other options the same layers may have other numbers.
    return title, made, made.parse(path)


def _depth(path: str) -> int:
    """How many layers a path has, as people write it."""
    words = path.replace(",", " ").split()
    return max(1, len(words) if len(words) != 1 or not words[0].replace(".", "").isdigit() else words[0].count(".") + 1)


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "depth": row.depth,
        "layer": row.layer,
        "inputs": " ".join(row.inputs),
        "shape": "x".join(map(str, row.shape)),
        "params": row.params,
        "flops": row.flops,
    }


def _whole(space: LayerSpace | DecisionSpace, path: Path, graph: Network) -> dict[str, Any]:
    """What is known of the whole network."""
    from replaytree.space import coding

    return {
        "space": space.describe(),
        "labels": list(coding.labels(space, path)),
        "path": ".".join(map(str, path)),
        "params": graph.params,
        "flops": graph.flops,
        "peak_bytes": graph.peak_bytes,
        "ram_bytes": graph.ram_bytes,
        "flash_bytes": graph.flash_bytes,
        "activations": graph.activations,
    }


def _lines(space: LayerSpace | DecisionSpace, path: Path, graph: Network, rows: list[dict[str, Any]]) -> Iterator[str]:
    """A table of the network, and its totals."""
    from replaytree.space.network import data_words, task_of

    data = data_words(task_of(space), space.input_shape, space.num_classes)
    width = table.terminal_width()
    given = {
        name: value for name, value in space.describe().items() if name in vars(LayerOptions()) and value is not None
    }
    options = "".join(f", {given_text(name, value)}" for name, value in given.items())
    layers = console.counting(len(path), "layer")
    yield f"{space.name or 'layers of your own'}: {layers} on {data}{options}"
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
        ("flops", graph.flops, f" multiply-adds {_ONE[graph.unit]}"),
        ("peak", graph.peak_bytes, f" bytes of {_ALIVE[graph.unit]}"),
        ("RAM", graph.ram_bytes, " bytes of maps alive at once, with 8 bits a number"),
        ("flash", graph.flash_bytes, " bytes of weights, with 8 bits a weight"),
    ):
        if number is not None:
            yield f"{what:<6}  {number:,}{unit}"
