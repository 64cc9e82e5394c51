"""The references to the files of evaluators' states (state_files.py), one a search."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, select

from replaytree.errors import StateUnusable
from replaytree.tree.engine import reading
from replaytree.tree.inserts import insert_for
from replaytree.tree.problem import Problem
from replaytree.tree.schema import evaluator_states, searches
from replaytree.tree.state_files import StateFile, StateFolder, own_name, read_state

_FIELDS = ("folder", "file", "size_bytes", "sha256", "epochs_before")
_COLUMNS = [evaluator_states.c[name] for name in _FIELDS]


def stored_state(engine: Engine, search_id: int) -> StateFile | None:
    """The file that holds the state of a search's evaluator; None where nothing was stored."""
    with reading(engine) as connection:
        return state_in(connection, search_id)


def state_in(connection: Connection, search_id: int) -> StateFile | None:
    """As `stored_state`, within a transaction."""
    row = connection.execute(select(*_COLUMNS).where(evaluator_states.c.search_id == search_id)).one_or_none()
    return None if row is None else StateFile(*row)


def refer(connection: Connection, search_id: int, file: StateFile) -> None:
    """Make the file the state of the search's evaluator."""
    values = {name: getattr(file, name) for name in _FIELDS} | {"updated_at": datetime.now(UTC)}
    statement = insert_for(connection.dialect.name, evaluator_states).values(search_id=search_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["search_id"], set_=values))


def folder_for(engine: Engine, search_id: int, name: str, *, folder: str | None) -> StateFolder:
    """Where the files of a search go: with those that it has, or into a folder of its own in `folder`.

    StateUnusable where there is none: `folder` is None, and the database has none beside it.
    """
    with reading(engine) as connection:
        stored = state_in(connection, search_id)
        created = connection.scalar(select(searches.c.created_at).where(searches.c.id == search_id))
    if stored is not None and stored.folder == folder:
        return StateFolder(engine.url, folder, name=stored.file.partition("/")[0])
    own = own_name(engine.url, name, folder=folder, search_id=search_id, created=str(created))
    return StateFolder(engine.url, folder, name=own)


def lost_states(engine: Engine) -> list[tuple[str, str, str]]:
    """(search, file, why) of every state whose file is missing, or is not what was stored."""
    with reading(engine) as connection:
        return list(_lost(connection, engine))


def state_problems(connection: Connection, engine: Engine) -> Iterator[Problem]:
    """As lost_states, within a transaction."""
    for name, file, why in _lost(connection, engine):
        yield Problem(name, f"the evaluator's state, {file},", "there, and whole", why)


def _lost(connection: Connection, engine: Engine) -> Iterator[tuple[str, str, str]]:
    query = select(searches.c.name, *_COLUMNS).join(searches, searches.c.id == evaluator_states.c.search_id)
    for name, *stored in connection.execute(query.order_by(searches.c.id)):
        file = StateFile(*stored)
        try:
            read_state(file, engine.url)
        except StateUnusable as error:
            yield name, file.file, error.why
