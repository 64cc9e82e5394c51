"""Deleting and renaming whole searches. One that a process drives is left alone."""

from __future__ import annotations

import json
from contextlib import suppress

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import IntegrityError

from replaytree.errors import SearchExists, StateUnusable
from replaytree.tree.engine import reading
from replaytree.tree.evaluator_states import folder_for, state_in
from replaytree.tree.leases import holder_in, require_unheld
from replaytree.tree.names import require_name
from replaytree.tree.retrying import write
from replaytree.tree.schema import searches
from replaytree.tree.search_queries import find_search
from replaytree.tree.state_files import StateFolder
from replaytree.tree.storage_errors import shown


def delete_search(engine: Engine, name: str) -> None:
    """Delete a search with all that is stored of it, and the files of its evaluator's state; its models stay, in the
    database and as files.

    Raises SearchNotFound, or SearchHeld where a process drives it that is not known to be gone.
    """
    search_id, _ = find_search(engine, name)
    folders = _folders(engine, search_id, name)

    def remove(connection: Connection) -> None:
        _require_free(connection, engine, search_id, name)
        connection.execute(delete(searches).where(searches.c.id == search_id))

    write(engine, remove)
    for folder in folders:
        folder.remove_all()


def rename_search(engine: Engine, old: str, new: str) -> None:
    """Give a search another name. The files of its evaluator's state stay where they are, and its own.

    Raises SearchNotFound, SearchExists where the name is taken, ConfigError for a name that no search can have, or
    SearchHeld as delete_search does.
    """
    require_name(new)
    search_id, _ = find_search(engine, old)

    def rename(connection: Connection) -> bool:
        _require_free(connection, engine, search_id, old)
        if connection.scalar(select(searches.c.id).where(searches.c.name == new)) is not None:
            return False
        connection.execute(update(searches).where(searches.c.id == search_id).values(name=new))
        return True

    try:
        done = write(engine, rename)
    except IntegrityError:
        # Another process took the name in between.
        done = False
    if not done:
        raise SearchExists(f"{shown(engine.url)} has a search {new!r} already; choose another name")


def _folders(engine: Engine, search_id: int, name: str) -> list[StateFolder]:
    """Where files of a search may be: of its evaluator's state, and of a prior that was interrupted."""
    with reading(engine) as connection:
        state = state_in(connection, search_id)
        config_json = connection.scalar(select(searches.c.config_json).where(searches.c.id == search_id))
    given = json.loads(config_json or "{}").get("state_dir")
    found = []
    for folder in dict.fromkeys([given] if state is None else [state.folder, given]):
        with suppress(StateUnusable):
            found.append(folder_for(engine, search_id, name, folder=folder))
    return found


def _require_free(connection: Connection, engine: Engine, search_id: int, name: str) -> None:
    """SearchHeld where a process drives it; asked in the transaction that writes, so that none begins in between."""
    # The lock that a lease needs, too: it refers to this row.
    connection.execute(select(searches.c.id).where(searches.c.id == search_id).with_for_update())
    require_unheld(engine, name, holder_in(connection, search_id), drives=False)
