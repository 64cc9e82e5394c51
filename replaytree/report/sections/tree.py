"""The whole tree for the page: a few columns of whole numbers, from which the browser rebuilds paths and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from replaytree.metric import ERROR_SHIFT, Metric
from replaytree.records import Path, Shape
from replaytree.report import theme
from replaytree.report.commands import node_commands
from replaytree.report.reading import SearchData, kind_of
from replaytree.report.section import Section
from replaytree.report.wording import counted, layers


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One node. `parent` is the place of its parent among the rows, -1 at the root; accuracies may be unknown."""

    node_id: int
    parent: int
    action: int
    label: str
    visit_count: int
    evaluation_count: int
    budget_evaluation_count: int
    epochs: int | None
    average_accuracy: float | None
    lower_bound: float | None
    best_accuracy: float | None
    params: int | None
    flops: int | None
    output_shape: Shape | None


def tree_rows(data: SearchData) -> list[TreeRow]:
    """All nodes, parents first. `best_accuracy` is the best single training, over all budgets."""
    best = best_accuracies(data)
    places: dict[Path, int] = {}
    rows: list[TreeRow] = []
    for node in data.nodes:
        places[node.path] = len(rows)
        rows.append(
            TreeRow(
                node_id=node.node_id,
                parent=places[node.path[:-1]] if node.depth > 1 else -1,
                action=node.action,
                label=node.label,
                visit_count=node.visit_count,
                evaluation_count=node.evaluation_count,
                budget_evaluation_count=node.budget_evaluation_count,
                epochs=node.epochs,
                average_accuracy=node.average_accuracy,
                lower_bound=node.lower_bound,
                best_accuracy=best.get(node.path),
                params=node.params,
                flops=node.flops,
                output_shape=node.output_shape,
            )
        )
    return rows


def best_accuracies(data: SearchData) -> dict[Path, float]:
    """The best single accuracy that any training measured of each prefix."""
    best: dict[Path, float] = {}
    for training in data.trainings:
        for depth, accuracy in enumerate(training.accuracies, start=1):
            prefix = training.path[:depth]
            if accuracy is not None and accuracy > best.get(prefix, -1.0):
                best[prefix] = accuracy
    return best


def tree_columns(data: SearchData) -> dict[str, Any]:
    """What the page's scripts are given; -1 stands for unknown. Tested to be the inverse of what they do."""
    rows = tree_rows(data)
    shapes = {shape: place for place, shape in enumerate(dict.fromkeys(row.output_shape for row in rows))}
    labels = {label: place for place, label in enumerate(data.labels)}
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(map(kind_of, data.labels)))}
    scale = theme.Scale.of(data.averages, data.metric)
    # Where a command has the node's number it is cut, and the page puts the pieces together.
    mark = next(f"NODE{n}" for n in count() if f"NODE{n}" not in f"{data.name} {data.storage}")
    return {
        "search": data.name,
        "commands": [text.split(mark) for text in node_commands(data, mark)],
        "labels": list(data.labels),
        "kinds": list(kinds),
        "kindOf": [kinds[kind_of(label)] for label in data.labels],
        "shapes": [None if shape is None else "×".join(map(str, shape)) for shape in shapes],
        "range": [data.metric.shade(scale.low), data.metric.shade(scale.high)],
        "metric": {
            "name": data.metric.name,
            "bound": data.metric.bound,
            "best": f"{data.metric.best} training",
            "items": data.metric.items,
            "digits": data.metric.digits,
            "leastError": None if data.metric.is_inverse else ERROR_SHIFT,
        },
        "unit": data.whole_config.weights.unit,
        "best": None if data.best is None else data.best.node_id,
        "colours": [theme.colour_at(step / 63) for step in range(64)],
        "columns": {
            "id": [row.node_id for row in rows],
            "parent": [row.parent for row in rows],
            "label": [labels[row.label] for row in rows],
            # Where layers are several decisions, actions are other numbers, and too large for JavaScript's.
            "action": None
            if all(labels[row.label] == row.action for row in rows)
            else [str(row.action) for row in rows],
            "visits": [row.visit_count for row in rows],
            "evaluations": [row.evaluation_count for row in rows],
            "budgetEvaluations": [row.budget_evaluation_count for row in rows],
            "epochs": _known([row.epochs for row in rows]),
            "average": [whole_number(row.average_accuracy, data.metric) for row in rows],
            "bound": [whole_number(row.lower_bound, data.metric) for row in rows],
            "best": [whole_number(row.best_accuracy, data.metric) for row in rows],
            "params": _known([row.params for row in rows]),
            "flops": _known([row.flops for row in rows]),
            "shape": [shapes[row.output_shape] for row in rows],
        },
    }


def whole_number(fraction: float | None, metric: Metric) -> int:
    """0.98765 -> 9877, of text 1 / 120.5 -> 12050: as it is shown, without its point; -1 for None."""
    [number] = metric.numbers([fraction])
    return -1 if number is None else int(metric.written(number).replace(".", ""))


def _known(values: Sequence[int | None]) -> list[int]:
    return [-1 if value is None else value for value in values]


@dataclass(frozen=True, slots=True)
class TreeSize:
    """How many nodes there are, and how deep they go; `scale` is that of their colours."""

    nodes: int
    deepest: int
    scale: theme.Scale


def tree_size(data: SearchData) -> TreeSize:
    """Of a search that has measured something."""
    return TreeSize(len(data.nodes), max(node.depth for node in data.nodes), theme.Scale.of(data.averages, data.metric))


def tree_finding(size: TreeSize) -> str:
    """'6 prefixes kept, up to 3 layers deep'."""
    return f"{counted(size.nodes, 'prefix', 'prefixes')} kept, up to {layers(size.deepest)} deep"


SECTION = Section(
    name="tree",
    title="Tree",
    eyebrow="The tree",
    rows=tree_size,
    finding=lambda data, size: tree_finding(size),
    template="tree.html",
    columns=tree_columns,
)
