"""The trained models of a database: one row a seed; the weights are files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select

from replaytree.errors import ConfigError
from replaytree.metric import ACCURACY, Metric
from replaytree.tree.class_results import ClassResults, insert_class_results
from replaytree.tree.engine import reading
from replaytree.tree.mean_accuracy import MeanAccuracy
from replaytree.tree.retrying import write
from replaytree.tree.schema import models, nodes, searches
from replaytree.tree.stored_json import read_training

# A network without batch norm has a lower rate by itself, and fine-tuning needs one, too.
_OF_A_NETWORK = ("learning_rate", "normed", "pretrained", "flash_bytes")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A trained model. `search` and `node_id` are None where it was trained without a search.

    `test_image_count` is None where `test_accuracy` is, and for models of versions that did not store it. The same
    holds for the validation images, which are measured where there is no test split.

    `baseline` is the name of a hand-made network, None for all others. Costs are None where they are unknown.
    `training` is how it was trained and measured, and what its network is besides; None for models of versions that
    did not store it.
    """

    model_id: int
    search: str | None
    node_id: int | None
    labels: tuple[str, ...]
    seed: int
    epochs: int
    test_accuracy: float | None
    test_image_count: int | None
    weights_path: str
    created_at: datetime
    baseline: str | None = None
    params: int | None = None
    flops: int | None = None
    ram_bytes: int | None = None
    validation_accuracy: float | None = None
    validation_image_count: int | None = None
    training: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What the models of a retraining, which differ in their seeds, have in common."""
        # Older versions did not store the flash of the same network.
        stored = None if self.training is None else {**self.training, "flash_bytes": None}
        training = json.dumps(stored, sort_keys=True)
        # The same layers may be wider than those of the search.
        return self.node_id, self.labels, self.params, self.flops, self.epochs, self.baseline, training

    @property
    def flash_bytes(self) -> int | None:
        """What the weights need with 8 bits each; None where that is unknown, as for models of older versions."""
        found = (self.training or {}).get("flash_bytes")
        return found if isinstance(found, int) else None


def record_model(
    engine: Engine,
    *,
    labels: tuple[str, ...],
    seed: int,
    epochs: int,
    test_accuracy: float | None,
    test_image_count: int | None = None,
    weights_path: str,
    search: str | None = None,
    node_id: int | None = None,
    baseline: str | None = None,
    params: int | None = None,
    flops: int | None = None,
    ram_bytes: int | None = None,
    validation_accuracy: float | None = None,
    validation_image_count: int | None = None,
    training: Mapping[str, Any] | None = None,
    class_results: ClassResults | None = None,
) -> None:
    """Store a model, and what it took each class for; one of the same weights file takes the place of the older one."""
    for name, accuracy in (("test_accuracy", test_accuracy), ("validation_accuracy", validation_accuracy)):
        if accuracy is not None and not 0.0 <= accuracy <= 1.0:
            raise ConfigError(f"{name} is {accuracy}; it must be a fraction in [0, 1]")
    counts = {"test_image_count": test_image_count, "validation_image_count": validation_image_count}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"{name} is {count}; it must be at least 1")

    def work(connection: Connection) -> None:
        search_id = connection.scalar(select(searches.c.id).where(searches.c.name == search)) if search else None
        connection.execute(delete(models).where(models.c.weights_path == weights_path))
        values = {
            "search_id": search_id,
            "node_id": node_id,
            "labels": " ".join(labels),
            "seed": seed,
            "epochs": epochs,
            "test_accuracy": test_accuracy,
            "test_image_count": test_image_count,
            "weights_path": weights_path,
            "created_at": datetime.now(UTC),
            "baseline": baseline,
            "params": params,
            "flops": flops,
            "ram_bytes": ram_bytes,
            "validation_accuracy": validation_accuracy,
            "validation_image_count": validation_image_count,
            "training_json": None if training is None else json.dumps(training, sort_keys=True),
        }
        model_id = connection.scalar(insert(models).returning(models.c.id), values)
        assert model_id is not None, "a row that was inserted has a number"
        if class_results is not None:
            insert_class_results(connection, class_results, model_id=model_id, search_id=search_id)

    write(engine, work)


def list_models(engine: Engine, *, search: str | None = None, node_id: int | None = None) -> list[ModelInfo]:
    """The models of a database, of one search, or of one node, in the order of training; baselines among them."""
    query = (
        select(models, searches.c.name.label("search"), nodes.c.id.label("node"))
        .outerjoin(searches, searches.c.id == models.c.search_id)
        .outerjoin(nodes, nodes.c.id == models.c.node_id)
        .order_by(models.c.created_at, models.c.id)
    )
    if search is not None:
        query = query.where(searches.c.name == search)
    if node_id is not None:
        query = query.where(models.c.node_id == node_id)
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    return [_info(row) for row in rows]


def _info(row: Row[Any]) -> ModelInfo:
    return ModelInfo(
        model_id=row.id,
        search=row.search,
        node_id=row.node,
        labels=tuple(row.labels.split(" ")),
        seed=row.seed,
        epochs=row.epochs,
        test_accuracy=row.test_accuracy,
        test_image_count=row.test_image_count,
        weights_path=row.weights_path,
        created_at=row.created_at,
        baseline=row.baseline,
        params=row.params,
        flops=row.flops,
        ram_bytes=row.ram_bytes,
        validation_accuracy=row.validation_accuracy,
        validation_image_count=row.validation_image_count,
        training=None if row.training_json is None else read_training(row.training_json),
    )


@dataclass(frozen=True, slots=True)
class Retraining:
    """The models of one architecture and one recipe, one a seed; `test` is None where none was tested."""

    models: tuple[ModelInfo, ...]
    metric: Metric = ACCURACY

    @property
    def test(self) -> MeanAccuracy | None:
        """On the test split. Where its images or words were not always as many, the fewest are counted."""
        return self._mean([(model.test_accuracy, model.test_image_count) for model in self.models])

    @property
    def validation(self) -> MeanAccuracy | None:
        """On validation images that were held out; None where there is a test split, or it was not stored."""
        return self._mean([(model.validation_accuracy, model.validation_image_count) for model in self.models])

    @property
    def measured(self) -> MeanAccuracy | None:
        """`test`, or without a test split `validation`."""
        return self.test or self.validation

    @property
    def last(self) -> ModelInfo:
        """The model that was trained last."""
        return self.models[-1]

    def raised(self, limits: Mapping[str, int]) -> dict[str, int]:
        """Limits by cost, each raised to what this network costs: it may be wider than what was searched."""
        costs = {cost: getattr(self.last, cost) for cost in limits}
        return {cost: max(limit, costs[cost] or 0) for cost, limit in limits.items()}

    def _mean(self, found: Sequence[tuple[float | None, int | None]]) -> MeanAccuracy | None:
        known = [(accuracy, count) for accuracy, count in found if accuracy is not None]
        if not known:
            return None
        counts = [count for _, count in known]
        least = None if None in counts else min(count for count in counts if count is not None)
        return MeanAccuracy(tuple(accuracy for accuracy, _ in known), least, self.metric)


def retrainings(models: Sequence[ModelInfo], metric: Metric = ACCURACY) -> list[Retraining]:
    """Models by node, network and training, in the order in which each was trained last; baselines among them.

    Of several models of a seed, in other folders, the last one counts.
    """
    groups: dict[tuple[Any, ...], list[ModelInfo]] = {}
    for model in models:
        others = [each for each in groups.pop(model.key, []) if each.seed != model.seed]
        groups[model.key] = [*others, model]
    return [Retraining(tuple(group), metric.of_models) for group in groups.values()]


def answer_of(models: Sequence[ModelInfo], best: int | None, metric: Metric = ACCURACY) -> Retraining | None:
    """The retrained answer of a search: of its best node, else of any; the last such. None where nothing was retrained.

    It is what baselines are trained like, and compared with.
    """
    own = retrainings([model for model in models if model.baseline is None], metric)
    of_best = [each for each in own if best is not None and each.last.node_id == best]
    chosen = of_best or own
    return chosen[-1] if chosen else None


def is_like(first: ModelInfo, second: ModelInfo) -> bool:
    """Whether two models had the same recipe, epochs and images, so that their accuracies can be compared.

    The learning rate may differ: networks without batch norm, and pretrained ones, have a lower one by themselves.
    """
    if first.training is None or second.training is None:
        return False
    own, other = (
        {name: value for name, value in each.training.items() if name not in _OF_A_NETWORK}
        for each in (first, second)
        if each.training is not None
    )
    return own == other
