"""The prior of a warm start: a copy of another search's nodes, because that one may continue or be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from sqlalchemy import Connection, Engine, insert, select

from replaytree.errors import ConfigError
from replaytree.records import BudgetSums, NodeStats, Path, Space
from replaytree.space.coding import is_legal
from replaytree.tree.engine import reading
from replaytree.tree.records import path_from_text, path_text
from replaytree.tree.schema import priors


def fitting(nodes: Iterable[NodeStats], space: Space, *, name: str) -> list[NodeStats]:
    """The measured nodes of search `name` that are legal in `space`, which may be of other images and other depth.

    Raises ConfigError where there is none.
    """
    fit: set[Path] = {()}
    chosen = []
    for node in nodes:
        parent, action = node.path[:-1], node.path[-1]
        if len(node.path) > space.max_layers or parent not in fit or not is_legal(space, parent, action):
            continue
        # Its continuations may be measured where it is not.
        fit.add(node.path)
        if node.evaluation_count:
            chosen.append(NodeStats(node.path, 0, tuple(sums for sums in node.budgets if sums.evaluation_count)))
    if not chosen:
        raise ConfigError(
            f"search {name!r} has measured no prefix that is legal here, so nothing can be learnt from it; "
            f"run it first, or leave out --warm-start"
        )
    return chosen


def insert_prior(connection: Connection, search_id: int, nodes: Sequence[NodeStats]) -> None:
    """Store the prior of a new search."""
    rows = [
        {
            "search_id": search_id,
            "path": path_text(node.path),
            "epochs": sums.epochs,
            "evaluation_count": sums.evaluation_count,
            "total_accuracy": sums.total_accuracy,
        }
        for node in nodes
        for sums in node.budgets
    ]
    if rows:
        connection.execute(insert(priors), rows)


def stored_prior(engine: Engine, search_id: int) -> list[NodeStats]:
    """The prior of a search, parents before children, in an order that its rows alone decide; empty without one.

    A prefix that has no row was not measured.
    """
    query = (
        select(priors.c.path, priors.c.epochs, priors.c.evaluation_count, priors.c.total_accuracy)
        .where(priors.c.search_id == search_id)
        .order_by(priors.c.path, priors.c.epochs)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    by_path = {
        path_from_text(path): tuple(BudgetSums(*row[1:]) for row in group)
        for path, group in groupby(rows, key=lambda row: row.path)
    }
    paths = {path[:depth] for path in by_path for depth in range(1, len(path) + 1)}
    return [NodeStats(path, 0, by_path.get(path, ())) for path in sorted(paths, key=lambda path: (len(path), path))]
