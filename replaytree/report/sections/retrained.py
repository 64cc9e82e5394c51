"""The models that were retrained from a search, and how they did on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replaytree.metric import Metric
from replaytree.report.reading import SearchData
from replaytree.report.section import Section
from replaytree.tree import MeanAccuracy, Retraining, answer_of, retrainings


@dataclass(frozen=True, slots=True)
class RetrainedRow:
    """The models of one prefix, width, recipe and number of epochs, a seed each.

    Without a test split `test` is None, and `validation` is what they came to on held-out images.
    """

    node_id: int | None
    labels: str
    params: int | None
    epochs: int
    seeds: tuple[int, ...]
    test: MeanAccuracy | None
    validation: MeanAccuracy | None
    files: tuple[str, ...]
    is_best: bool

    @property
    def measured(self) -> MeanAccuracy | None:
        """`test`, or without a test split `validation`."""
        return self.test or self.validation

    @property
    def weights(self) -> str:
        """The file of the first seed, which an export takes."""
        return min(zip(self.seeds, self.files, strict=True))[1]


def retrained_rows(data: SearchData) -> list[RetrainedRow]:
    """One row a prefix and number of epochs, in the order in which they were trained last."""
    found = [model for model in data.models if model.baseline is None]
    return [_row(each, data) for each in retrainings(found, data.metric)]


def retrained_answer(data: SearchData) -> RetrainedRow | None:
    """The last retraining of the best prefix, or of any where it was not retrained; None where none was."""
    found = answer_of(data.models, None if data.best is None else data.best.node_id, data.metric)
    return None if found is None else _row(found, data)


def _row(each: Retraining, data: SearchData) -> RetrainedRow:
    first = each.models[0]
    return RetrainedRow(
        node_id=first.node_id,
        labels=" ".join(first.labels),
        params=first.params,
        epochs=first.epochs,
        seeds=tuple(model.seed for model in each.models),
        test=each.test,
        validation=each.validation,
        files=tuple(model.weights_path for model in each.models),
        is_best=data.best is not None and first.node_id == data.best.node_id,
    )


def retrained_finding(rows: Sequence[RetrainedRow], metric: Metric) -> str:
    """What the last retraining of the best prefix came to, or the last one where that was not retrained."""
    last = ([row for row in rows if row.is_best] or rows)[-1]
    seeds = f"{len(last.seeds)} seed{'' if len(last.seeds) == 1 else 's'}"
    if last.test is None:
        return f"Retrained with {seeds}; these {metric.items} have no test split"
    mean_of = "mean of " if len(last.seeds) > 1 else ""
    return f"Retrained: {metric.headline(metric.fraction(last.test.mean))} on the test {metric.items}, {mean_of}{seeds}"


def looked_at_test(rows: Sequence[RetrainedRow]) -> bool:
    """Whether any model was measured on the test images."""
    return any(row.test is not None for row in rows)


SECTION = Section(
    name="retrained",
    title="Retrained",
    within="answer",
    rows=retrained_rows,
    finding=lambda data, rows: retrained_finding(rows, data.metric.of_models),
    template="retrained.html",
)
