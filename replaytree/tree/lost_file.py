"""A search whose database file is deleted or replaced while it is driven: what an open connection holds is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, update

from replaytree.config import command, file_url
from replaytree.errors import DatabaseGone, StorageError
from replaytree.tree.backup import rescue
from replaytree.tree.engine import open_engine, reading, writing
from replaytree.tree.retrying import write
from replaytree.tree.schema import evaluator_states, leases
from replaytree.tree.search_queries import count_episodes
from replaytree.tree.sqlite_file import file_of
from replaytree.tree.state_files import state_folder_of


def require_file(engine: Engine, search_id: int, name: str) -> None:
    """DatabaseGone, after saving what is left of it, where the database's file is not the one that was opened."""
    try:
        with writing(engine):
            pass
    except DatabaseGone as gone:
        raise rescued(gone, engine, search_id, name, lambda connection: None) from gone
    except StorageError:
        return


def rescued(
    gone: DatabaseGone, engine: Engine, search_id: int, name: str, work: Callable[[Connection], object]
) -> DatabaseGone:
    """Save what a deleted file held, which an open connection still has, and what `work` adds; the error to raise.

    The copy is a database like any other, and its searches go on where they stood.
    """
    path = file_of(engine.url)
    assert path is not None, "only a file can be deleted"
    try:
        with reading(engine) as connection:
            copy = rescue(connection, path)
        if copy is None:
            return gone
        saved = open_engine(file_url(copy), create=False)
        try:
            write(saved, work)
            write(saved, lambda connection: _adapted(connection, state_folder_of(path)))
            count = count_episodes(saved, search_id)
        finally:
            saved.dispose()
    except StorageError as error:
        return DatabaseGone(f"{gone}; and what was stored before could not be saved: {error}")
    resume = command("resume", name, storage=file_url(copy))
    return DatabaseGone(f"{gone}; its {count} episodes, the last one too, are saved in {copy}; go on with `{resume}`")


def _adapted(connection: Connection, states: Path) -> None:
    """Make a copy a database of its own: nobody drives it, and the states of evaluators are where they were."""
    connection.execute(delete(leases))
    beside = evaluator_states.c.folder.is_(None)
    connection.execute(update(evaluator_states).where(beside).values(folder=str(states.absolute())))
