"""The models that were retrained from a search, and how they did on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from replaytree.report.difference import mean_interval
from replaytree.report.reading import SearchData
from replaytree.tree import ModelInfo


@dataclass(frozen=True, slots=True)
class RetrainedRow:
    """The models of one prefix and one number of epochs, a seed each; accuracies are on the test images.

    Without a test split there are none. The interval is Student's over the seeds; None for a single one.
    """

    node_id: int | None
    labels: str
    epochs: int
    seeds: tuple[int, ...]
    mean: float | None
    low: float | None
    high: float | None
    interval: tuple[float, float] | None
    files: tuple[str, ...]
    is_best: bool


def retrained_rows(data: SearchData) -> list[RetrainedRow]:
    """One row a prefix and number of epochs, in the order in which they were trained last."""
    groups: dict[tuple[int | None, tuple[str, ...], int], list[ModelInfo]] = {}
    for model in data.models:
        key = model.node_id, model.labels, model.epochs
        groups[key] = [*groups.pop(key, []), model]
    rows = []
    for (node_id, labels, epochs), models in groups.items():
        tested = [model.test_accuracy for model in models if model.test_accuracy is not None]
        rows.append(
            RetrainedRow(
                node_id=node_id,
                labels=" ".join(labels),
                epochs=epochs,
                seeds=tuple(model.seed for model in models),
                mean=fmean(tested) if tested else None,
                low=min(tested, default=None),
                high=max(tested, default=None),
                interval=mean_interval(tested),
                files=tuple(model.weights_path for model in models),
                is_best=data.best is not None and node_id == data.best.node_id,
            )
        )
    return rows


def retrained_finding(rows: Sequence[RetrainedRow]) -> str:
    """What the last retraining came to."""
    if not rows:
        return "Nothing was retrained yet"
    last = rows[-1]
    seeds = f"{len(last.seeds)} seed{'' if len(last.seeds) == 1 else 's'}"
    if last.mean is None:
        return f"Retrained with {seeds}; these images have no test split"
    return f"Retrained: {last.mean:.3f} on the test images, {'mean of ' if len(last.seeds) > 1 else ''}{seeds}"


def looked_at_test(rows: Sequence[RetrainedRow]) -> bool:
    """Whether any model was measured on the test images."""
    return any(row.mean is not None for row in rows)
