"""The trained models of a database: one row a seed; the weights are files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, insert, select

from replaytree.errors import ConfigError
from replaytree.metric import ACCURACY, Metric
from replaytree.tree.engine import reading
from replaytree.tree.mean_accuracy import MeanAccuracy
from replaytree.tree.retrying import write
from replaytree.tree.schema import models, nodes, searches


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A trained model. `search` and `node_id` are None where it was trained without a search.

    `test_image_count` is None where `test_accuracy` is, and for models of versions that did not store it.
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
) -> None:
    """Store a model; one of the same weights file takes the place of the older row."""
    if test_accuracy is not None and not 0.0 <= test_accuracy <= 1.0:
        raise ConfigError(f"test_accuracy is {test_accuracy}; it must be a fraction in [0, 1]")
    if test_image_count is not None and test_image_count < 1:
        raise ConfigError(f"test_image_count is {test_image_count}; it must be at least 1")

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
        }
        connection.execute(insert(models), values)

    write(engine, work)


def list_models(engine: Engine, *, search: str | None = None, node_id: int | None = None) -> list[ModelInfo]:
    """The models of a database, of one search, or of one node, in the order of training."""
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
    return [
        ModelInfo(
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
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Retraining:
    """The models of one architecture and one number of epochs, one a seed; `test` is None where none was tested."""

    models: tuple[ModelInfo, ...]
    metric: Metric = ACCURACY

    @property
    def test(self) -> MeanAccuracy | None:
        """On the test split. Where its images or words were not always as many, the fewest are counted."""
        tested = [model for model in self.models if model.test_accuracy is not None]
        if not tested:
            return None
        counts = [model.test_image_count for model in tested]
        least = None if None in counts else min(count for count in counts if count is not None)
        values = tuple(model.test_accuracy for model in tested if model.test_accuracy is not None)
        return MeanAccuracy(values, least, self.metric)


def retrainings(models: Sequence[ModelInfo], metric: Metric = ACCURACY) -> list[Retraining]:
    """Models by node, layers and epochs, in the order in which each was trained last."""
    groups: dict[tuple[int | None, tuple[str, ...], int], list[ModelInfo]] = {}
    for model in models:
        key = model.node_id, model.labels, model.epochs
        groups[key] = [*groups.pop(key, []), model]
    return [Retraining(tuple(group), metric) for group in groups.values()]
