"""`replaytree show`: one node of a search, or its root, and what continues it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from replaytree.cli import console, table
from replaytree.cli.options import Format, Json, Last, Storage, Which, engine_of, search_of
from replaytree.cli.text import escaped, say

if TYPE_CHECKING:
    from replaytree.metric import Metric
    from replaytree.records import Path
    from replaytree.tree import Node, ReplayTree, Retraining

# How people may write the root, which is no row of its own.
ROOT = ("", "0")


@dataclass(frozen=True, slots=True)
class Child:
    """A prefix one layer longer, and what grew from it: its own and all longer prefixes.

    `best` is the one of them that ranks first at the search's largest budget; None where none was measured there.
    """

    node: Node
    prefix_count: int
    best: Node | None


def show(
    name: Which = None,
    node: Annotated[
        str | None,
        typer.Argument(
            help="A node's number, or its path: 'res128 conv32k3', or '17.0'.  [default: the root]", metavar="NODE"
        ),
    ] = None,
    format_: Format = "table",
    json: Json = False,
    last: Last = False,
    storage: Storage = None,
) -> None:
    """Show a node and its children; of a search alone, its first layers, best first: which were good, and which bad.

    With NODE alone: of the only search, or with --last of the last one.
    """
    from replaytree.tree import search_names

    if node is None and name is not None and (last or name not in search_names(engine_of(storage))):
        name, node = None, name
    tree = search_of(storage, name, last=last)
    format_ = "json" if json else format_
    if node is None or node.strip() in ROOT:
        _print_children(tree, (), format_)
        return
    found, info = tree.find(node), tree.info()
    if format_ != "table":
        console.print_nodes([found], format_, metric=info.metric)
        return
    from replaytree.tree import list_models, retrainings

    retrained = retrainings(list_models(tree.engine, search=tree.name, node_id=found.node_id), info.metric)
    lines = node_lines(
        found, retrained, metric=info.metric, unit=info.config.weights.unit, has_final_form=info.has_final_form
    )
    say("\n".join(lines))
    say()
    _print_children(tree, found.path, format_)


def _print_children(tree: ReplayTree, path: Path, form: Format) -> None:
    children, metric = children_of(tree.nodes(), path), tree.info().metric
    if form != "table":
        more = console.beside(metric, "", None), console.beside(metric, "best_", None)
        columns = (*console.NODE_COLUMNS, *more[0], *CHILD_COLUMNS, *more[1])
        console.print_rows([_row(child, metric) for child in children], columns, form)
        return
    if not children:
        say("nothing continues it" if path else escaped(f"search {tree.name!r} has no nodes yet"))
        return
    epochs = next((child.best.epochs for child in children if child.best is not None), None)
    when = "" if epochs is None else tree.info().config.weights.measured(epochs)
    order = f", best first, of what was measured {when}" if when else ""
    what = console.counting(len(children), "next layer" if path else "first layer")
    say(escaped(f"{'' if path else f'{tree.name}: '}{what}{order}"))
    say("\n".join(children_lines(children, width=table.terminal_width(), metric=metric)))


def children_of(nodes: Sequence[Node], path: Path) -> list[Child]:
    """The children of a path, where () is the root: those first from which the best prefix grew."""
    from replaytree.tree import rank

    largest = max((node.epochs for node in nodes if node.epochs is not None), default=None)
    depth = len(path)
    grown: dict[Path, list[Node]] = {}
    for node in nodes:
        if node.depth > depth and node.path[:depth] == path:
            grown.setdefault(node.path[: depth + 1], []).append(node)
    found = []
    for start, group in grown.items():
        measured = [node for node in group if node.epochs == largest and node.average_accuracy is not None]
        own = next(node for node in group if node.path == start)
        found.append(Child(own, len(group), min(measured, key=rank, default=None)))
    last = (0.0, 0.0, False, 0)
    return sorted(found, key=lambda child: (child.best is None, rank(child.best) if child.best else last))


CHILD_COLUMNS = ("prefix_count", "best_node_id", "best_average_accuracy", "best_lower_bound")


def _row(child: Child, metric: Metric) -> dict[str, Any]:
    """A child as plain values: its own, then those of what grew from it."""
    best = child.best
    values = (None, None, None) if best is None else (best.node_id, best.average_accuracy, best.lower_bound)
    row = console.node_row(child.node, metric) | dict(zip(CHILD_COLUMNS, (child.prefix_count, *values), strict=True))
    return row | console.beside(metric, "best_", values[1])


def children_lines(children: Sequence[Child], *, width: int, metric: Metric) -> list[str]:
    """The table: each child's layer, how much grew from it, and the best of that."""
    own = f"own {metric.name}"
    headings = ("node", "layer", "prefixes", "visits", "best below", metric.bound, "best node", own)
    cells = [
        (
            child.node.node_id, child.node.label, f"{child.prefix_count:,}", f"{child.node.visit_count:,}",
            metric.shown(child.best.average_accuracy if child.best else None),
            metric.shown(child.best.lower_bound if child.best else None),
            child.best.node_id if child.best else "-",
            metric.shown(child.node.average_accuracy),
        )
        for child in children
    ]  # fmt: skip
    return table.lines(headings, cells, width=width, left=("layer",), spare=(own, "visits"))


def node_lines(
    node: Node,
    retrained: Sequence[Retraining] = (),
    *,
    metric: Metric,
    unit: str = "epochs",
    has_final_form: bool = False,
) -> list[str]:
    """Everything of one node, a line each; also how its retrained models did on the test split."""
    form = ", as it is retrained" if has_final_form else ""
    rows = [
        *_figures(node, metric, unit, form=form),
        *(("retrained", console.retrained_text(each)) for each in retrained),
    ]
    size = max(len(what) for what, _ in rows)
    return [f"{what:<{size}}  {escaped(value)}" for what, value in rows]


def _figures(node: Node, metric: Metric, unit: str, *, form: str) -> Iterator[tuple[str, str]]:
    """What is known of a node, under the names that its column has in tables."""
    yield "node", str(node.node_id)
    yield "layers", " ".join(node.labels)
    yield metric.name, metric.shown(node.average_accuracy)
    yield metric.bound, metric.shown(node.lower_bound)
    yield "trainings", _whole(node.budget_evaluation_count)
    yield unit, _whole(node.epochs)
    if node.evaluation_count != node.budget_evaluation_count:
        yield f"trainings of any {unit}", _whole(node.evaluation_count)
    yield "visits", _whole(node.visit_count)
    yield "depth", _whole(node.depth)
    yield "params", _whole(node.params)
    yield "FLOPs", _whole(node.flops)
    # Of text, and of layers of one's own, no memory is known.
    for what, number in (("RAM", node.ram_bytes), ("flash", node.flash_bytes)):
        if number is not None:
            yield what, f"{number:,} bytes with 8 bits a number{form}"
    yield "output shape", "-" if node.output_shape is None else "x".join(map(str, node.output_shape))
    yield "path", ".".join(map(str, node.path))


def _whole(number: float | None) -> str:
    return "-" if number is None else f"{number:,}"
