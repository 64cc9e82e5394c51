"""What a trained model took the images of each class for: a confusion matrix, one row a pair of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from replaytree.border import told
from replaytree.class_figures import class_figures, macro_f1
from replaytree.errors import StorageError
from replaytree.records import Part
from replaytree.tree.engine import reading
from replaytree.tree.schema import IN_AT_ONCE, class_results

Pair = tuple[int, int]
"""The class that an image is of, and the one that it was taken for, by number."""


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: how many images were measured, and how many of them were found. None where there is nothing to share.

    `recall`: of the images of the class, the share that was taken for it. `precision`: of the images that were taken
    for the class, the share that is of it. `f1`: their harmonic mean.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many images of one class were taken for another, and some of them side by side as a PNG, worst first."""

    actual: str
    predicted: str
    images: int
    pictures: bytes | None = None


@dataclass(frozen=True, slots=True)
class ClassResults:
    """The confusion matrix of a model on a part of its data: `counts[a][p]` images of class a were taken for class p.

    `pictures` has examples of the most confused pairs.
    """

    part: Part
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    pictures: Mapping[Pair, bytes] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many images were measured."""
        return sum(map(sum, self.counts))

    @property
    def figures(self) -> list[ClassFigures]:
        """Every class, in order."""
        found = class_figures(*self._answers)
        return [ClassFigures(name, *values) for name, values in zip(self.classes, found, strict=True)]

    @property
    def macro_f1(self) -> float:
        """The mean of the classes' F1 (class_figures.macro_f1)."""
        actual, predicted, counts, _ = self._answers
        return macro_f1(actual, predicted, counts)

    def worst(self, most: int) -> list[ClassFigures]:
        """The classes of which the smallest share was found, but none of which all was."""
        measured = [each for each in self.figures if each.recall is not None and each.recall < 1.0]
        return sorted(measured, key=lambda each: (each.recall, each.name))[:most]

    def confused(self, most: int) -> list[Confusion]:
        """The pairs of different classes that were confused most often, most first."""
        pairs = [
            (count, actual, predicted)
            for actual, row in enumerate(self.counts)
            for predicted, count in enumerate(row)
            if count and actual != predicted
        ]
        pairs.sort(key=lambda each: (-each[0], each[1:]))
        return [
            Confusion(self.classes[actual], self.classes[predicted], count, self.pictures.get((actual, predicted)))
            for count, actual, predicted in pairs[:most]
        ]

    @property
    def _answers(self) -> tuple[list[int], list[int], list[int], int]:
        """Pairs of classes with how often each occurred, as scikit-learn weighs answers; and the number of classes."""
        cells = [(a, p, count) for a, row in enumerate(self.counts) for p, count in enumerate(row) if count]
        actual, predicted, counts = (list(each) for each in zip(*cells, strict=True))
        return actual, predicted, counts, len(self.classes)


def together(results: Sequence[ClassResults]) -> ClassResults:
    """Those of several models on the same images, added up. Pictures are those of the first that has any."""
    first = results[0]
    counts = tuple(
        tuple(sum(each.counts[a][p] for each in results) for p in range(len(first.classes)))
        for a in range(len(first.classes))
    )
    pictures: dict[Pair, bytes] = {}
    for each in reversed(results):
        pictures |= each.pictures
    return ClassResults(first.part, first.classes, counts, pictures)


def insert_class_results(
    connection: Connection, results: ClassResults, *, model_id: int, search_id: int | None
) -> None:
    """One row a pair that occurred, and one for each class and itself, in the order of the classes."""
    rows = [
        {
            "search_id": search_id,
            "model_id": model_id,
            "part": results.part,
            "actual": results.classes[actual],
            "predicted": results.classes[predicted],
            "image_count": count,
            "pictures": results.pictures.get((actual, predicted)),
        }
        for actual, row in enumerate(results.counts)
        for predicted, count in enumerate(row)
        if count or actual == predicted
    ]
    connection.execute(insert(class_results), rows)


def list_class_results(engine: Engine, model_ids: Sequence[int]) -> dict[int, ClassResults]:
    """The class results of models by their number; those of older versions, and of text, have none."""
    rows: dict[int, list[Any]] = {}
    with reading(engine) as connection:
        for start in range(0, len(model_ids), IN_AT_ONCE):
            some = model_ids[start : start + IN_AT_ONCE]
            query = select(class_results).where(class_results.c.model_id.in_(some)).order_by(class_results.c.id)
            for row in connection.execute(query):
                rows.setdefault(row.model_id, []).append(row)
    return {model_id: _of_rows(own) for model_id, own in rows.items()}


def _of_rows(rows: Sequence[Any]) -> ClassResults:
    classes = tuple(row.actual for row in rows if row.actual == row.predicted)
    number = {name: place for place, name in enumerate(classes)}
    counts = [[0] * len(classes) for _ in classes]
    pictures: dict[Pair, bytes] = {}
    for row in rows:
        if unknown := sorted({row.actual, row.predicted} - number.keys()):
            raise StorageError(
                f"the database has answers of a class {told(unknown[0])} for model {row.model_id}, which has no such "
                f"class; `replaytree db check` says where"
            )
        pair = number[row.actual], number[row.predicted]
        counts[pair[0]][pair[1]] = row.image_count
        if row.pictures is not None:
            pictures[pair] = row.pictures
    return ClassResults(rows[0].part, classes, tuple(map(tuple, counts)), pictures)
