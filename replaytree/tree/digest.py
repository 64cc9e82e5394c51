"""A hash of what a search found: equal for searches with the same tree, whenever and under whatever name they ran."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import URL, Engine, Table

from replaytree.tree.columns import UtcDateTime
from replaytree.tree.engine import open_engine, reading
from replaytree.tree.schema import Base
from replaytree.tree.search_queries import find_search
from replaytree.tree.transfer_rows import carried_columns, carried_tables, select_rows

# What was asked for, the strategy's state and trained models are no part of the tree.
OTHERS = frozenset({"searches", "goals", "strategy_states", "models", "class_results"})


def tree_digest(storage: str | URL | Engine, name: str) -> str:
    """SHA-256 of a search's nodes, episodes and evaluations, in their order, without times; hexadecimal.

    Raises SearchNotFound.
    """
    engine = storage if isinstance(storage, Engine) else open_engine(storage, create=False)
    search_id, _ = find_search(engine, name)
    timed = {table.name: _times(table) for table in carried_tables(Base.metadata)}
    digest = hashlib.sha256()
    with reading(engine) as connection:
        for row in select_rows(connection, Base.metadata, search_id):
            table = row["table"]
            if table not in OTHERS:
                kept = {column: value for column, value in row.items() if column not in timed[table]}
                digest.update(json.dumps(kept, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _times(table: Table) -> set[str]:
    """Columns that say when something was, or how long it took."""
    names = {column.name: column.type for column, _ in carried_columns(table)}
    return {name for name, kind in names.items() if isinstance(kind, UtcDateTime) or name.endswith("_seconds")}
