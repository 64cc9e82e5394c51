"""Writing episodes: what a batch changes, and the statements that change it.

Every function takes the connection of one open write transaction. The statements are few and the same for any depth;
sums change by increments, so the order in which batches arrive does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, bindparam, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from replaytree.errors import SearchNotFound, SpaceError
from replaytree.records import NodeStats, Path, Space
from replaytree.tree.queries import select_node_stats
from replaytree.tree.records import Episode, path_text, shape_text
from replaytree.tree.schema import episodes, evaluations, node_budgets, nodes, searches, strategy_states

_T = TypeVar("_T")
_IN_AT_ONCE = 1000  # SQLite before 3.32 takes 999 parameters, later ones 32,766.

_LOCK = select(searches.c.id).where(searches.c.id == bindparam("search")).with_for_update()
_LAST_NUMBER = select(func.max(episodes.c.number)).where(episodes.c.search_id == bindparam("search"))
_KNOWN = select(nodes.c.path, nodes.c.id).where(
    nodes.c.search_id == bindparam("search"), nodes.c.path.in_(bindparam("paths", expanding=True))
)
_ADD_TO_NODE = (
    update(nodes)
    .where(nodes.c.id == bindparam("node"))
    .values(
        visit_count=nodes.c.visit_count + bindparam("visits"),
        evaluation_count=nodes.c.evaluation_count + bindparam("count"),
        total_accuracy=nodes.c.total_accuracy + bindparam("total"),
    )
)


@dataclass
class _Change:
    """What a batch adds to one node; `accuracies` by epochs."""

    visits: int = 0
    accuracies: dict[int, list[float]] = field(default_factory=dict)

    @property
    def measured(self) -> list[float]:
        return [accuracy for values in self.accuracies.values() for accuracy in values]


def record_episodes(
    connection: Connection, search_id: int, *, space: Space | None, batch: Sequence[Episode], state: bytes
) -> list[NodeStats]:
    """Store a batch and the strategy's state after it; the touched nodes as they are now, ordered by id."""
    first = _lock_search(connection, search_id)
    changes = _changes(batch)
    ids = _ensure_nodes(connection, search_id, space, list(changes))
    _insert_episodes(connection, search_id, batch, ids=ids, first=first)
    _add_sums(connection, search_id, changes, ids)
    now = datetime.now(UTC)
    connection.execute(
        _upsert_state(connection.dialect.name),
        {"search_id": search_id, "episode_count": first + len(batch), "payload": state, "updated_at": now},
    )
    stats: list[NodeStats] = []
    for some in _chunks(sorted(ids.values())):
        stats += select_node_stats(connection, search_id, node_ids=some)
    return stats


def record_late(connection: Connection, search_id: int, *, space: Space | None, batch: Sequence[Episode]) -> None:
    """Store what a driver measured that has lost its lease: its trained episodes, without its strategy's state.

    The state stays the new driver's, who may have stored none yet; it is now as of more episodes.
    """
    _lock_search(connection, search_id)
    state = connection.scalar(select(strategy_states.c.payload).where(strategy_states.c.search_id == search_id)) or b""
    trained = [episode for episode in batch if episode.trained]
    record_episodes(connection, search_id, space=space, batch=trained, state=state)


def _lock_search(connection: Connection, search_id: int) -> int:
    """Keep other writers of this search out until the commit; the number of its next episode."""
    if connection.scalar(_LOCK, {"search": search_id}) is None:
        raise SearchNotFound("the search was deleted from the database while it was running; start it under a new name")
    number = connection.scalar(_LAST_NUMBER, {"search": search_id})
    return 0 if number is None else int(number) + 1


def _changes(batch: Sequence[Episode]) -> dict[Path, _Change]:
    """What the batch adds to each prefix; parents stand before their children."""
    changes: dict[Path, _Change] = {}
    for episode in batch:
        accuracies = episode.evaluation.accuracies if episode.evaluation is not None else ()
        for depth in range(1, len(episode.path) + 1):
            change = changes.setdefault(episode.path[:depth], _Change())
            change.visits += 1
            if depth <= len(accuracies):
                change.accuracies.setdefault(episode.epochs, []).append(accuracies[depth - 1])
    return changes


def _ensure_nodes(
    connection: Connection, search_id: int, space: Space | None, prefixes: Sequence[Path]
) -> dict[Path, int]:
    """The ids of the prefixes, whose new ones are inserted in the order given."""
    by_text = {path_text(prefix): prefix for prefix in prefixes}
    ids: dict[Path, int] = {}
    for some in _chunks(list(by_text)):
        known = connection.execute(_KNOWN, {"search": search_id, "paths": some})
        ids.update((by_text[path], node_id) for path, node_id in known)
    new = [prefix for prefix in prefixes if prefix not in ids]
    if not new:
        return ids
    if space is None:
        raise SpaceError(
            f"path {new[0]} is new, and the tree was opened without a space; use ReplayTree.open(..., space=...)"
        )
    ids.update(zip(new, new_ids(connection, nodes, len(new)), strict=True))
    connection.execute(insert(nodes), [_node_row(search_id, prefix, space, ids) for prefix in new])
    return ids


def _node_row(search_id: int, prefix: Path, space: Space, ids: dict[Path, int]) -> dict[str, Any]:
    action = prefix[-1]
    if not 0 <= action < space.num_actions:
        raise SpaceError(f"path {prefix} has action {action}; the space has actions 0 to {space.num_actions - 1}")
    labels = [space.label(a) for a in prefix]
    if len(labels[-1].split()) != 1 or labels[-1] != labels[-1].strip():
        raise SpaceError(f"the label of action {action} is {labels[-1]!r}; a label is not empty and has no white space")
    params, flops = space.cost(prefix) or (None, None)
    # A space of one's own need not know its feature maps; the built-in ones do.
    output_shape = getattr(space, "output_shape", None)
    return {
        "id": ids[prefix],
        "search_id": search_id,
        "parent_id": ids[prefix[:-1]] if len(prefix) > 1 else None,
        "depth": len(prefix),
        "action": action,
        "label": labels[-1],
        "path": path_text(prefix),
        "labels": " ".join(labels),
        "output_shape": shape_text(output_shape(prefix) if output_shape is not None else None),
        "params": params,
        "flops": flops,
        "visit_count": 0,
        "evaluation_count": 0,
        "total_accuracy": 0.0,
    }


def new_ids(connection: Connection, table: Table, count: int) -> list[int]:
    """Ids for rows about to be inserted, ascending, so that children can name their parents in one statement."""
    if connection.dialect.name == "postgresql":
        ids = text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)")
        return sorted(connection.scalars(ids, {"table": table.name, "count": count}))
    # Writers of SQLite are alone in the database (BEGIN IMMEDIATE), so nobody can take these.
    first = (connection.scalar(select(func.max(table.c.id))) or 0) + 1
    return list(range(first, first + count))


def _insert_episodes(
    connection: Connection, search_id: int, batch: Sequence[Episode], *, ids: dict[Path, int], first: int
) -> None:
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
                "node_id": ids[episode.path],
                "source": episode.source,
                "trained": episode.trained,
                "depth_bound": episode.depth_bound,
                "epochs": episode.epochs,
                "failure": evaluation.failure if evaluation else None,
                "failure_text": evaluation.failure_text if evaluation else "",
                "train_seconds": evaluation.train_seconds if evaluation else None,
                "policy_loss": episode.policy_loss,
                "entropy": episode.entropy,
                "created_at": now,
            }
        )
        evaluation_rows += [
            {
                "search_id": search_id,
                "node_id": ids[episode.path[:depth]],
                "episode_id": episode_id,
                "epochs": episode.epochs,
                "accuracy": accuracy,
            }
            for depth, accuracy in enumerate(evaluation.accuracies if evaluation else (), start=1)
        ]
    connection.execute(insert(episodes), episode_rows)
    if evaluation_rows:
        connection.execute(insert(evaluations), evaluation_rows)


def _add_sums(connection: Connection, search_id: int, changes: dict[Path, _Change], ids: dict[Path, int]) -> None:
    if not changes:
        return
    connection.execute(
        _ADD_TO_NODE,
        [
            {
                "node": ids[prefix],
                "visits": change.visits,
                "count": len(change.measured),
                "total": math.fsum(change.measured),
            }
            for prefix, change in changes.items()
        ],
    )
    budgets = [
        {
            "node_id": ids[prefix],
            "epochs": epochs,
            "search_id": search_id,
            "evaluation_count": len(values),
            "total_accuracy": math.fsum(values),
        }
        for prefix, change in changes.items()
        for epochs, values in change.accuracies.items()
    ]
    if budgets:
        connection.execute(_upsert_budget(connection.dialect.name), budgets)


def insert_for(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that takes ON CONFLICT clauses."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


# Building the statements anew doubles the time to record a path (3.0 against 1.5 ms); hence the caches and constants.
@lru_cache
def _upsert_budget(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_for(dialect, node_budgets)
    return statement.on_conflict_do_update(
        index_elements=["node_id", "epochs"],
        set_={name: node_budgets.c[name] + statement.excluded[name] for name in ("evaluation_count", "total_accuracy")},
    )


@lru_cache
def _upsert_state(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_for(dialect, strategy_states)
    return statement.on_conflict_do_update(
        index_elements=["search_id"],
        set_={name: statement.excluded[name] for name in ("episode_count", "payload", "updated_at")},
    )


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _IN_AT_ONCE):
        yield items[start : start + _IN_AT_ONCE]
