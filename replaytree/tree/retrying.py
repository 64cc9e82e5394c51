"""Write transactions that are retried after temporary failures: a server that restarts, a lost deadlock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy import Connection, Engine, text

from replaytree.errors import ConnectionLost, DatabaseBusy
from replaytree.tree.engine import BUSY_WAITS, JITTER, writing

_T = TypeVar("_T")

# Seconds before each further attempt, times a random factor in [0.5, 1.5): a minute in all for a lost connection.
LOST_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

_log = logging.getLogger("replaytree")


def write(engine: Engine, work: Callable[[Connection], _T], *, durable: bool = False) -> _T:
    """The result of `work` in one write transaction, which is tried again where a passing failure ended it.

    `work` changes nothing but what its connection reaches. It takes effect exactly once: where the connection is lost
    during the commit, PostgreSQL is asked whether the transaction counts. Raises ConnectionLost or DatabaseBusy when
    the attempts are used up, other errors at once.
    """
    # A writer of SQLite has waited already when it began (engine.py); from there on it is alone.
    busy_waits = () if engine.dialect.name == "sqlite" else BUSY_WAITS
    waits: dict[type[Exception], Iterator[float]] = {ConnectionLost: iter(LOST_WAITS), DatabaseBusy: iter(busy_waits)}
    doubtful: tuple[str, _T] | None = None
    told = False
    while True:
        try:
            with writing(engine, durable=durable) as connection:
                if doubtful is not None and _is_committed(connection, doubtful[0]):
                    return doubtful[1]
                doubtful = None
                result = work(connection)
                if connection.dialect.name == "postgresql":
                    doubtful = str(connection.scalar(text("SELECT pg_current_xact_id()::text"))), result
            return result
        except (ConnectionLost, DatabaseBusy) as error:
            wait = next(waits[type(error)], None)
            if wait is None:
                raise
            if isinstance(error, ConnectionLost) and not told:
                told = True
                _log.warning("%s (trying again for about %.0f s)", error, sum(LOST_WAITS))
        time.sleep(wait * JITTER.uniform(0.5, 1.5))


def _is_committed(connection: Connection, transaction: str) -> bool:
    """Whether a transaction counts, whose commit was not confirmed; ConnectionLost while the server does not know."""
    status = connection.scalar(text("SELECT pg_xact_status(CAST(:id AS xid8))"), {"id": transaction})
    if status == "in progress":
        raise ConnectionLost("the connection was lost during a commit, and the server has not decided about it yet")
    return bool(status == "committed")
