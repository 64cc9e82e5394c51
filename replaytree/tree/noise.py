"""The noise of a search's trainings, and the factors by which it lowers bounds: kept as the sums change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, and_, bindparam, delete, select, update

from replaytree.tree.inserts import insert_for
from replaytree.tree.ranking import noise_factor
from replaytree.tree.schema import budgets, noise_factors

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

_HERE = (noise_factors.c.search_id == bindparam("search"), noise_factors.c.epochs == bindparam("budget"))
_NOISE = select(budgets.c.repeat_count, budgets.c.relative_squares).where(
    budgets.c.search_id == bindparam("search"), budgets.c.epochs == bindparam("budget")
)
_STANDING = (
    select(
        noise_factors.c.evaluation_count,
        noise_factors.c.node_count,
        budgets.c.repeat_count,
        budgets.c.relative_squares,
    )
    .join(budgets, and_(budgets.c.search_id == noise_factors.c.search_id, budgets.c.epochs == noise_factors.c.epochs))
    .where(*_HERE)
)
_DROP_EMPTY = delete(noise_factors).where(*_HERE, noise_factors.c.node_count == 0)
_SET_FACTOR = (
    update(noise_factors)
    .where(*_HERE, noise_factors.c.evaluation_count == bindparam("count"))
    .values(factor=bindparam("new"))
)


def training_noise(connection: Connection, search_id: int, *, epochs: int | None) -> float | None:
    """Relative deviation of the error of single trainings at a budget, pooled over prefixes trained more than once.

    sqrt(sum_i sum_j ((a_ij - mean_i) / (1 - mean_i))^2 / sum_i (n_i - 1)); None while nothing was trained twice.
    """
    row = connection.execute(_NOISE, {"search": search_id, "budget": epochs}).one_or_none()
    return None if row is None else noise_of(row.repeat_count, row.relative_squares)


def noises(connection: Connection, search_id: int) -> dict[int, float | None]:
    """The training_noise of every budget that the search has used."""
    rows = connection.execute(select(budgets).where(budgets.c.search_id == search_id))
    return {row.epochs: noise_of(row.repeat_count, row.relative_squares) for row in rows}


def noise_of(repeat_count: int, relative_squares: float) -> float | None:
    """The noise from the sums that `budgets` keeps."""
    return math.sqrt(max(relative_squares, 0.0) / repeat_count) if repeat_count else None


def move_counts(connection: Connection, search_id: int, moved: Mapping[tuple[int, int], int]) -> None:
    """Update `noise_factors`. `moved` holds by (epochs, evaluation_count) how many more nodes have these.

    The noise has changed as well, so all factors of these budgets are computed again: some hundreds in a tree of a
    million nodes.
    """
    rows = [
        {"search_id": search_id, "epochs": epochs, "evaluation_count": count, "node_count": more}
        for (epochs, count), more in moved.items()
        if more
    ]
    if rows:
        connection.execute(_add_nodes(connection.dialect.name), rows)
    for epochs in {epochs for epochs, _ in moved}:
        own = {"search": search_id, "budget": epochs}
        standing = connection.execute(_STANDING, own).all()
        if any(not row.node_count for row in standing):
            connection.execute(_DROP_EMPTY, own)
        factors = [
            own | {"count": row.evaluation_count, "new": noise_factor(noise, row.evaluation_count)}
            for row in standing
            if row.node_count and (noise := noise_of(row.repeat_count, row.relative_squares)) is not None
        ]
        if factors:
            connection.execute(_SET_FACTOR, factors)


@lru_cache
def _add_nodes(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_for(dialect, noise_factors)
    return statement.on_conflict_do_update(
        index_elements=["search_id", "epochs", "evaluation_count"],
        set_={"node_count": noise_factors.c.node_count + statement.excluded.node_count},
    )
