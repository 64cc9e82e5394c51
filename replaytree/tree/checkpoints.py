"""The accuracies of paths at the checkpoint of their budget, with which the early stop compares.

Equal accuracies of a budget share a row, so there are never more rows than validation images can tell apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, select

from replaytree.tree.engine import reading
from replaytree.tree.inserts import insert_for
from replaytree.tree.schema import checkpoints


def add_checkpoints(connection: Connection, search_id: int, reached: Sequence[tuple[int, float]]) -> None:
    """Count (epochs of the budget, accuracy) of paths that came to the checkpoint."""
    if not reached:
        return
    statement = insert_for(connection.dialect.name, checkpoints)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["search_id", "epochs", "accuracy"],
            set_={"path_count": checkpoints.c.path_count + statement.excluded.path_count},
        ),
        [
            {"search_id": search_id, "epochs": epochs, "accuracy": accuracy, "path_count": count}
            for (epochs, accuracy), count in Counter(reached).items()
        ],
    )


def stored_checkpoints(engine: Engine, search_id: int) -> list[tuple[int, float]]:
    """One (epochs, accuracy) a path, in ascending order."""
    columns = (checkpoints.c.epochs, checkpoints.c.accuracy)
    query = select(*columns, checkpoints.c.path_count).where(checkpoints.c.search_id == search_id).order_by(*columns)
    with reading(engine) as connection:
        return [(epochs, accuracy) for epochs, accuracy, count in connection.execute(query) for _ in range(count)]
