"""The depth calibration of a search: separate trainings, and the biases of joint accuracies estimated from them.

`separate_evaluations` are kept as they were measured. `calibrations` is a cache: it is estimated anew from all of them
whenever one is added, and `replaytree db check --repair` can rebuild it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from replaytree.tree.depth_bias import Bias, Pair, Point, estimate
from replaytree.tree.records import SeparateTraining
from replaytree.tree.schema import (
    budgets,
    calibrations,
    episodes,
    evaluations,
    nodes,
    searches,
    separate_evaluations,
)
from replaytree.tree.stored_json import read_space

# An estimate solves a linear system, and another machine may round it differently.
BIAS_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of a search's joint accuracies.

    `biases` is empty while nothing was trained by itself. The FLOPs are multiply-adds of one image times epochs, summed
    over the trainings of each kind; the seconds are what these took.
    """

    pairs: tuple[Pair, ...] = ()
    biases: Mapping[Point, Bias] | None = None
    separate_count: int = 0
    joint_flops: int = 0
    separate_flops: int = 0
    joint_seconds: float = 0.0
    separate_seconds: float = 0.0

    @property
    def share(self) -> float:
        """The separate trainings' share of the seconds trained, in [0, 1]."""
        return self.separate_seconds / ((self.joint_seconds + self.separate_seconds) or 1.0)


def read_calibration(connection: Connection, search_id: int) -> Calibration:
    """The present calibration of a search."""
    own = separate_evaluations.c.search_id == search_id
    separate = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(nodes.c.flops * separate_evaluations.c.epochs), 0),
            func.coalesce(func.sum(separate_evaluations.c.train_seconds), 0.0),
            *_largest(separate_evaluations.c.train_seconds),
        )
        .join(nodes, nodes.c.id == separate_evaluations.c.node_id)
        .where(own)
    ).one()
    joint = connection.execute(
        select(
            func.coalesce(func.sum(nodes.c.flops * episodes.c.epochs), 0),
            func.coalesce(func.sum(episodes.c.train_seconds), 0.0),
            *_largest(episodes.c.train_seconds),
        )
        .join(nodes, nodes.c.id == episodes.c.node_id)
        .where(episodes.c.search_id == search_id, episodes.c.trained)
    ).one()
    return Calibration(
        pairs=tuple(_pairs(connection, search_id)),
        biases=stored_biases(connection, search_id),
        separate_count=separate[0],
        joint_flops=int(joint[0]),
        separate_flops=int(separate[1]),
        joint_seconds=joint[1],
        separate_seconds=separate[2],
    )


def _largest(seconds: ColumnElement[float]) -> list[ColumnElement[Any]]:
    """Read beside the sums: to SQLite a text is more than any number, and in a sum it is 0 (columns.py refuses it)."""
    return [func.max(seconds), func.max(nodes.c.flops)]


def stored_biases(connection: Connection, search_id: int) -> dict[Point, Bias]:
    """(depth, epochs) -> the stored estimate; empty while nothing was trained by itself."""
    rows = connection.execute(select(calibrations).where(calibrations.c.search_id == search_id)).all()
    return {(row.depth, row.epochs): Bias(row.bias, row.deviation) for row in rows}


def record_separate(
    connection: Connection, search_id: int, trainings: Sequence[SeparateTraining], *, episode_ids: Sequence[int]
) -> None:
    """Store separate trainings of prefixes of the episodes just inserted, which have `episode_ids` in their order."""
    for training in trainings:
        episode_id = episode_ids[training.episode]
        node_id = connection.scalar(
            select(evaluations.c.node_id)
            .join(nodes, nodes.c.id == evaluations.c.node_id)
            .where(evaluations.c.episode_id == episode_id, nodes.c.depth == training.depth)
        )
        accuracies = training.evaluation.accuracies
        connection.execute(
            insert(separate_evaluations),
            {
                "search_id": search_id,
                "node_id": node_id,
                "episode_id": episode_id,
                "epochs": training.epochs,
                "accuracy": accuracies[0] if accuracies else None,
                "failure": training.evaluation.failure,
                "train_seconds": training.evaluation.train_seconds,
            },
        )


def lacks_budget(connection: Connection, search_id: int, epochs: Collection[int]) -> bool:
    """Whether the search is calibrated, but not yet at one of these budgets."""
    known = select(calibrations.c.epochs).where(calibrations.c.search_id == search_id).distinct()
    stored = set(connection.scalars(known))
    return bool(stored) and not stored.issuperset(epochs)


def refresh(connection: Connection, search_id: int) -> None:
    """Estimate the biases anew, for every depth of the search's space and every budget it has used."""
    expected, pair_count = expected_biases(connection, search_id)
    connection.execute(delete(calibrations).where(calibrations.c.search_id == search_id))
    if not expected:
        return
    connection.execute(
        insert(calibrations),
        [
            {
                "search_id": search_id,
                "epochs": epochs,
                "depth": depth,
                "bias": bias.value,
                "deviation": bias.deviation,
                "pair_count": pair_count,
            }
            for (depth, epochs), bias in expected.items()
        ],
    )


def expected_biases(connection: Connection, search_id: int) -> tuple[dict[Point, Bias], int]:
    """What `calibrations` should hold, by (depth, epochs), and from how many pairs; nothing without a pair."""
    pairs = _pairs(connection, search_id)
    if not pairs:
        return {}, 0
    space_json = connection.scalar(select(searches.c.space_json).where(searches.c.id == search_id))
    used = select(budgets.c.epochs).where(budgets.c.search_id == search_id)
    points = [
        (depth, epochs)
        for epochs in sorted(epochs for epochs in connection.scalars(used) if isinstance(epochs, int) and epochs > 0)
        for depth in range(1, read_space(space_json or "{}")["max_layers"] + 1)
    ]
    return dict(zip(points, estimate(pairs, points), strict=True)), len(pairs)


def _pairs(connection: Connection, search_id: int) -> list[Pair]:
    rows = connection.execute(
        select(nodes.c.depth, evaluations.c.epochs, evaluations.c.accuracy, separate_evaluations.c.accuracy)
        .select_from(separate_evaluations)
        .join(
            evaluations,
            (evaluations.c.episode_id == separate_evaluations.c.episode_id)
            & (evaluations.c.node_id == separate_evaluations.c.node_id),
        )
        .join(nodes, nodes.c.id == evaluations.c.node_id)
        .where(
            separate_evaluations.c.search_id == search_id,
            separate_evaluations.c.accuracy.is_not(None),
            ~evaluations.c.shared,
        )
        .order_by(separate_evaluations.c.id)
    )
    return [Pair(*row) for row in rows]


def wrong_biases(connection: Connection, search_id: int) -> list[tuple[Point, str | None, str | None]]:
    """(depth, epochs), what the separate trainings say, and what is stored, wherever they differ."""
    expected, pair_count = expected_biases(connection, search_id)
    rows = connection.execute(select(calibrations).where(calibrations.c.search_id == search_id)).all()
    found = {(row.depth, row.epochs): (row.bias, row.deviation, row.pair_count) for row in rows}
    wrong: list[tuple[Point, str | None, str | None]] = []
    for point in sorted(expected.keys() | found.keys()):
        bias = expected.get(point)
        should = None if bias is None else (bias.value, bias.deviation, pair_count)
        stands = found.get(point)
        if should is None or stands is None or any(map(_differ, should, stands)):
            wrong.append((point, _text(should), _text(stands)))
    return wrong


def _differ(should: float, stands: float) -> bool:
    return not (isinstance(stands, int | float) and abs(should - stands) <= BIAS_TOLERANCE)


def _text(values: tuple[object, object, object] | None) -> str | None:
    """For people."""
    if values is None:
        return None
    bias, deviation, count = (f"{value:.6g}" if isinstance(value, int | float) else repr(value) for value in values)
    return f"{bias} +- {deviation}, from {count} pairs"
