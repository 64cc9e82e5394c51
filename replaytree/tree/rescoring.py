"""The leaders of a search, scored once more by the last state of its evaluator, so that rankings compare one state.

It is no training: no episode, no visit, and nothing that a strategy sees, because a search that goes on after a stop is
to choose as one that did not stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, func, insert, select, update

from replaytree.records import Path
from replaytree.tree.changes import Change
from replaytree.tree.engine import reading
from replaytree.tree.recording import add_to_budgets, add_to_nodes, known, lock_search
from replaytree.tree.records import Node
from replaytree.tree.schema import evaluator_states, node_budgets, rescores

LEADERS = 100
PARTS = 10


def leaders(nodes: Sequence[Node], *, k: int = LEADERS) -> list[Path]:
    """The paths of the k prefixes that may be the best by the last state, by the last score of each.

    Half are the best of all. Scores rise while an evaluator learns, so the others are the best of every tenth of the
    search, from the last one on.
    """
    measured = [node for node in nodes if node.average_accuracy is not None]
    best = sorted(measured, key=lambda node: (-(node.average_accuracy or 0.0), node.node_id))
    by_age = sorted(measured, key=lambda node: (-(node.epochs or 0), node.node_id))
    size = -(-len(by_age) // PARTS)
    parts = [set(by_age[start : start + size]) for start in range(0, len(by_age), size or 1)]
    each = max(1, (k - k // 2) // PARTS)
    chosen = dict.fromkeys(node.path for node in best[: k // 2])
    for part in parts:
        own = [node.path for node in best if node in part and node.path not in chosen]
        chosen |= dict.fromkeys(own[:each])
    return list(chosen)[:k]


def last_epochs(engine: Engine, search_id: int) -> tuple[int, int]:
    """The largest epochs at which anything was measured, and those of the last rescoring; 0 where there are none."""
    with reading(engine) as connection:
        found = [
            connection.scalar(select(func.max(table.c.epochs)).where(table.c.search_id == search_id))
            for table in (node_budgets, rescores)
        ]
    return found[0] or 0, found[1] or 0


def record_rescores(
    connection: Connection, search_id: int, scores: Mapping[Path, float], *, epochs: int, epochs_before: int
) -> None:
    """Store the scores of prefixes that no training scored at these epochs. Parents stand before their children."""
    lock_search(connection, search_id)
    stored = known(connection, search_id, list(scores))
    changes = {
        path: Change(accuracies={epochs: [accuracy]})
        for path, accuracy in scores.items()
        if path in stored and epochs not in stored[path].measured
    }
    if not changes:
        return
    own = {path: stored[path] for path in changes}
    add_to_nodes(connection, changes, own)
    add_to_budgets(connection, search_id, changes, own)
    now = datetime.now(UTC)
    rows = [
        {
            "search_id": search_id,
            "node_id": own[path].node_id,
            "epochs": epochs,
            "accuracy": scores[path],
            "created_at": now,
        }
        for path in changes
    ]
    connection.execute(insert(rescores), rows)
    here = evaluator_states.c.search_id == search_id
    connection.execute(update(evaluator_states).where(here).values(epochs_before=epochs_before))
