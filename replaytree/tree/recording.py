"""Writing episodes: the statements that store a batch and what it adds to the sums (changes.py).

Every function takes the connection of one open write transaction. The statements are few and the same for any depth;
sums change by increments, so the order in which batches arrive does not matter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Double, Integer, Select, Table, and_, bindparam, func, insert, select, text, update

from replaytree.errors import SearchNotFound, SpaceError
from replaytree.metric import METRICS
from replaytree.records import BudgetSums, NodeStats, Path, Space
from replaytree.space.coding import count, decisions_json
from replaytree.space.costs import costs_of
from replaytree.tree.changes import SUMS, Change, Measured, Stored, changes_of
from replaytree.tree.inserts import insert_for
from replaytree.tree.noise import move_counts
from replaytree.tree.records import Episode, path_text, shape_text
from replaytree.tree.schema import (
    IN_AT_ONCE,
    PARAMS_UNKNOWN,
    budgets,
    episodes,
    evaluations,
    node_budgets,
    nodes,
    rescores,
    searches,
    strategy_states,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

_T = TypeVar("_T")
_LOCK = select(searches.c.id).where(searches.c.id == bindparam("search")).with_for_update()
_TASK = select(searches.c.task).where(searches.c.id == bindparam("search"))
_LAST_NUMBER = select(func.max(episodes.c.number)).where(episodes.c.search_id == bindparam("search"))
_KNOWN = (
    select(
        nodes.c.path,
        nodes.c.id,
        nodes.c.visit_count,
        rescores.c.epochs.label("rescored"),
        *(node_budgets.c[name] for name in ("epochs", "evaluation_count", "total_accuracy", "squared_deviations")),
    )
    .select_from(nodes)
    .outerjoin(node_budgets, node_budgets.c.node_id == nodes.c.id)
    .outerjoin(rescores, and_(rescores.c.node_id == nodes.c.id, rescores.c.epochs == node_budgets.c.epochs))
    .where(nodes.c.search_id == bindparam("search"), nodes.c.path.in_(bindparam("paths", expanding=True)))
)
_INSERT = {table: insert(table) for table in (nodes, episodes, evaluations)}
_ADD_TO_NODE = (
    update(nodes)
    .where(nodes.c.id == bindparam("node"))
    .values({name: nodes.c[name] + bindparam(f"added_{name}") for name in SUMS})
)


def record_episodes(
    connection: Connection,
    search_id: int,
    *,
    space: Space | None,
    batch: Sequence[Episode],
    state: bytes,
) -> list[NodeStats]:
    """Store a batch and the strategy's state after it; the touched nodes as they are now, ordered by id."""
    first = lock_search(connection, search_id)
    changes = changes_of(batch)
    stored = known(connection, search_id, list(changes))
    add_to_nodes(connection, changes, stored)
    _insert_nodes(connection, search_id, space, changes, stored)
    _insert_episodes(connection, search_id, batch, stored=stored, first=first)
    add_to_budgets(connection, search_id, changes, stored)
    now = datetime.now(UTC)
    connection.execute(
        _upsert_state(connection.dialect.name),
        {"search_id": search_id, "episode_count": first + len(batch), "payload": state, "updated_at": now},
    )
    # These are the values read under the lock plus the additions, so they need not be read again.
    return [
        NodeStats(
            prefix,
            stored[prefix].visit_count + changes[prefix].visits,
            tuple(
                BudgetSums(epochs, sums.count, sums.total)
                for epochs, sums in sorted(stored[prefix].measured.items())
                if epochs not in stored[prefix].rescored
            ),
        )
        for prefix in sorted(changes, key=lambda prefix: stored[prefix].node_id)
    ]


def record_late(
    connection: Connection,
    search_id: int,
    *,
    space: Space | None,
    batch: Sequence[Episode],
) -> None:
    """Store the trained episodes of a driver that has lost its lease, without its strategy's state.

    The stored state stays that of the new driver, which may not have stored one yet. It is marked as of more episodes.
    """
    lock_search(connection, search_id)
    state = connection.scalar(select(strategy_states.c.payload).where(strategy_states.c.search_id == search_id)) or b""
    trained = [episode for episode in batch if episode.trained]
    record_episodes(connection, search_id, space=space, batch=trained, state=state)


def lock_search(connection: Connection, search_id: int) -> int:
    """Keep other writers of this search out until the commit; the number of its next episode."""
    if connection.scalar(_LOCK, {"search": search_id}) is None:
        raise SearchNotFound("the search was deleted from the database while it was running; start it under a new name")
    number = connection.scalar(_LAST_NUMBER, {"search": search_id})
    return 0 if number is None else int(number) + 1


def known(connection: Connection, search_id: int, prefixes: Sequence[Path]) -> dict[Path, Stored]:
    """Those of the prefixes that are stored."""
    by_text = {path_text(prefix): prefix for prefix in prefixes}
    stored: dict[Path, Stored] = {}
    for some in _chunks(list(by_text)):
        for path, node_id, visits, rescored, epochs, *sums in connection.execute(
            _KNOWN, {"search": search_id, "paths": some}
        ):
            node = stored.setdefault(by_text[path], Stored(node_id, visits))
            if epochs is not None:
                node.measured[epochs] = Measured(*sums)
            if rescored is not None:
                node.rescored.add(rescored)
    return stored


def add_to_nodes(connection: Connection, changes: dict[Path, Change], stored: dict[Path, Stored]) -> None:
    """Add the changes to the sums of the stored nodes."""
    if stored:
        connection.execute(
            _ADD_TO_NODE,
            [
                {"node": node.node_id} | {f"added_{name}": value for name, value in changes[prefix].sums.items()}
                for prefix, node in stored.items()
            ],
        )


def _insert_nodes(
    connection: Connection,
    search_id: int,
    space: Space | None,
    changes: dict[Path, Change],
    stored: dict[Path, Stored],
) -> None:
    """Insert the prefixes that are new, in the order of the changes, and take them in among the stored."""
    new = [prefix for prefix in changes if prefix not in stored]
    if not new:
        return
    if space is None:
        raise SpaceError(
            f"path {new[0]} is new, and the tree was opened without a space; use ReplayTree.open(..., space=...)"
        )
    ids = new_ids(connection, nodes, len(new))
    stored.update((prefix, Stored(node_id)) for prefix, node_id in zip(new, ids, strict=True))
    labels: dict[Path, str] = {}
    for path in new:
        for depth in range(1, len(path) + 1):
            if path[:depth] not in labels:
                labels[path[:depth]] = _label(space, path[:depth])
    rows = [_node_row(search_id, prefix, space, stored, labels) | changes[prefix].sums for prefix in new]
    connection.execute(_INSERT[nodes], rows)


def _label(space: Space, path: Path) -> str:
    if len(path) > space.max_layers:
        raise SpaceError(f"path {path} has more layers than max_layers, {space.max_layers}")
    actions = count(space.decisions(len(path)))
    if not 0 <= path[-1] < actions:
        raise SpaceError(f"path {path} has action {path[-1]}; the space has actions 0 to {actions - 1}")
    return space.label(path[:-1], path[-1])


def _node_row(
    search_id: int, prefix: Path, space: Space, stored: dict[Path, Stored], labels: dict[Path, str]
) -> dict[str, Any]:
    # A user's own space need not know its feature maps; the built-in ones do.
    output_shape = getattr(space, "output_shape", None)
    return {
        "id": stored[prefix].node_id,
        "search_id": search_id,
        "parent_id": stored[prefix[:-1]].node_id if len(prefix) > 1 else None,
        "depth": len(prefix),
        "action": prefix[-1],
        "label": labels[prefix],
        "decisions": decisions_json(space.decisions(len(prefix)), prefix[-1]),
        "path": path_text(prefix),
        "labels": " ".join(labels[prefix[:depth]] for depth in range(1, len(prefix) + 1)),
        "output_shape": shape_text(output_shape(prefix) if output_shape is not None else None),
        **costs_of(space, prefix),
    }


def new_ids(connection: Connection, table: Table, count: int) -> list[int]:
    """Ids for rows about to be inserted, ascending, so that children can name their parents in one statement."""
    if connection.dialect.name == "postgresql":
        ids = text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)")
        return sorted(connection.scalars(ids, {"table": table.name, "count": count}))
    # Writers of SQLite are alone in the database (BEGIN IMMEDIATE), so nobody can take these.
    first = (connection.scalar(_last_id(table)) or 0) + 1
    return list(range(first, first + count))


def _insert_episodes(
    connection: Connection, search_id: int, batch: Sequence[Episode], *, stored: dict[Path, Stored], first: int
) -> None:
    """The episodes and their evaluations."""
    if not batch:
        return
    now = datetime.now(UTC)
    episode_ids = new_ids(connection, episodes, len(batch))
    episode_rows: list[dict[str, Any]] = []
    evaluation_rows: list[dict[str, Any]] = []
    for number, (episode_id, episode) in enumerate(zip(episode_ids, batch, strict=True), start=first):
        evaluation = episode.evaluation
        episode_rows.append(
            {
                "id": episode_id,
                "search_id": search_id,
                "number": number,
                "node_id": stored[episode.path].node_id,
                "source": episode.source,
                "trained": episode.trained,
                "depth_bound": episode.depth_bound,
                "epochs": episode.epochs,
                "failure": evaluation.failure if evaluation else None,
                "failure_text": _storable(evaluation.failure_text) if evaluation else "",
                "train_seconds": evaluation.train_seconds if evaluation else None,
                "policy_loss": episode.policy_loss,
                "entropy": episode.entropy,
                "mixed_json": None if episode.mixed is None else episode.mixed.to_json(),
                "created_at": now,
            }
        )
        evaluation_rows += [
            {
                "search_id": search_id,
                "node_id": stored[episode.path[:depth]].node_id,
                "episode_id": episode_id,
                "epochs": episode.epochs,
                "accuracy": accuracy,
                "shared": evaluation is not None and depth <= evaluation.shared,
            }
            for depth, accuracy in enumerate(evaluation.accuracies if evaluation else (), start=1)
            if accuracy is not None
        ]
    connection.execute(_INSERT[episodes], episode_rows)
    if evaluation_rows:
        connection.execute(_INSERT[evaluations], evaluation_rows)


def _storable(text: str) -> str:
    """Any text without the characters that databases refuse: lone surrogates and, for PostgreSQL, NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def add_to_budgets(
    connection: Connection, search_id: int, changes: dict[Path, Change], stored: dict[Path, Stored]
) -> None:
    """Add the accuracies to the sums of their budgets, here and in the database, and to the noise of the budgets."""
    metric = METRICS[connection.execute(_TASK, {"search": search_id}).scalar_one()]
    rows = []
    noise: dict[int, tuple[int, float]] = {}
    moved: Counter[tuple[int, int]] = Counter()
    for prefix, change in changes.items():
        node = stored[prefix]
        for epochs, accuracies in change.accuracies.items():
            before = node.measured.get(epochs, Measured())
            after = node.measured[epochs] = before.added(accuracies)
            rows.append(
                {
                    "node": node.node_id,
                    "budget": epochs,
                    "count": len(accuracies),
                    "total": math.fsum(accuracies),
                    "squares": after.squares - before.squares,
                    "average": after.total / after.count,
                }
            )
            repeats, squares = noise.get(epochs, (0, 0.0))
            noise[epochs] = (
                repeats + len(accuracies) - (before.count == 0),
                squares + after.relative_squares(metric) - before.relative_squares(metric),
            )
            moved[epochs, after.count] += 1
            if before.count:
                moved[epochs, before.count] -= 1
    if not rows:
        return
    connection.execute(_upsert_node_budget(connection.dialect.name), rows)
    connection.execute(
        _upsert_budget(connection.dialect.name),
        [
            {"search_id": search_id, "epochs": epochs, "repeat_count": repeats, "relative_squares": squares}
            for epochs, (repeats, squares) in noise.items()
        ],
    )
    move_counts(connection, search_id, moved)


# Building the statements anew doubles the time to record a path (3.0 against 1.5 ms); hence the caches and constants.
@lru_cache
def _last_id(table: Table) -> Select[Any]:
    return select(func.max(table.c.id))


@lru_cache
def _upsert_node_budget(dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Depth and parameters are those of the node."""
    given = {
        "epochs": bindparam("budget", type_=Integer),
        "evaluation_count": bindparam("count", type_=Integer),
        "total_accuracy": bindparam("total", type_=Double),
        "squared_deviations": bindparam("squares", type_=Double),
        "average_accuracy": bindparam("average", type_=Double),
        "params_rank": func.coalesce(nodes.c.params, PARAMS_UNKNOWN),
    }
    row = select(
        nodes.c.id.label("node_id"), nodes.c.search_id, nodes.c.depth, *(v.label(name) for name, v in given.items())
    ).where(nodes.c.id == bindparam("node", type_=Integer))
    statement = insert_for(dialect, node_budgets)
    sums = ("evaluation_count", "total_accuracy", "squared_deviations")
    added = {name: node_budgets.c[name] + statement.excluded[name] for name in sums}
    average = added["total_accuracy"] / added["evaluation_count"]
    return statement.from_select([column.name for column in row.selected_columns], row).on_conflict_do_update(
        index_elements=["node_id", "epochs"], set_=added | {"average_accuracy": average}
    )


@lru_cache
def _upsert_budget(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_for(dialect, budgets)
    added = {name: budgets.c[name] + statement.excluded[name] for name in ("repeat_count", "relative_squares")}
    return statement.on_conflict_do_update(index_elements=["search_id", "epochs"], set_=added)


@lru_cache
def _upsert_state(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_for(dialect, strategy_states)
    return statement.on_conflict_do_update(
        index_elements=["search_id"],
        set_={name: statement.excluded[name] for name in ("episode_count", "payload", "updated_at")},
    )


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), IN_AT_ONCE):
        yield items[start : start + IN_AT_ONCE]
