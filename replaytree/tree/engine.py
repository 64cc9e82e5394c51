"""Open a database: the engine, its transactions, and its schema's revision.

SQLite is opened for many readers and one writer at a time, with a write-ahead log. Writes start with BEGIN IMMEDIATE,
so a writer waits at its beginning (five times 30 s) and never fails half-way. Reads start with a plain BEGIN, which
never waits.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from replaytree.errors import ConfigError, ForeignDatabase, SchemaMismatch, StorageUnavailable
from replaytree.tree.backup import copy_beside
from replaytree.tree.schema import VERSION_TABLE, VIEWS, Base
from replaytree.tree.sqlite_file import (
    SameFile,
    connect_read_only,
    file_of,
    how_cut,
    is_read_only,
    may,
    require_place,
    why_empty,
)
from replaytree.tree.storage_errors import advice, shown, translated
from replaytree.tree.urls import BUSY_SECONDS, busy_seconds, parsed_url

if TYPE_CHECKING:
    from alembic.config import Config

# Seconds between attempts to get a lock, times a random factor in [0.5, 1.5), so that writers retry at different times.
BUSY_WAITS = (0.05, 0.1, 0.2, 0.4)
JITTER = random.SystemRandom()
# By default libpq waits for hours for a server whose machine is gone.
_PSYCOPG_DEFAULTS = {
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}  # fmt: skip
# The log grows to 16 MiB before it is moved into the file, because a move waits for the disk. A path of 15 layers
# writes about 60 pages, mostly the strategy's state, which the next path writes again; SQLite's own limit of 1000 pages
# would move the log after every sixteenth path.
CHECKPOINT_PAGES = 4000
_WRITE = "replaytree_write"
_DURABLE = "replaytree_durable"

OPENED: WeakSet[Engine] = WeakSet()
"""The engines of this process: after an unexplained failure, their rows are checked."""

# An arbitrary constant: it keeps two processes from creating the tables of one PostgreSQL database at once.
_POSTGRESQL_LOCK = 7_265_706_108


class Upgraded(NamedTuple):
    """The result of an upgrade. `from_revision` is None for a new database; `backup` is the copy made before."""

    from_revision: str | None
    to_revision: str
    backup: Path | None

    @property
    def text(self) -> str:
        """The result as a sentence."""
        if self.from_revision == self.to_revision:
            return f"the database is of revision {self.to_revision} already"
        copied = f"; a copy of it as it was is {self.backup}" if self.backup else ""
        return f"upgraded the database from {self.from_revision or 'nothing'} to revision {self.to_revision}{copied}"


class _State(NamedTuple):
    revision: str | None
    is_empty: bool
    taken: tuple[str, ...]


def open_engine(url: str | URL, *, create: bool = True) -> Engine:
    """An engine on a database with the schema of this version.

    With `create`, a new or empty database gets the tables; otherwise it is an error, and no file is made. Raises
    StorageUnavailable, ForeignDatabase or SchemaMismatch.
    """
    engine = build_engine(url, create=create)
    OPENED.add(engine)
    try:
        state = _state(engine)
        _require_known(state, engine.url)
        if state.revision is None:
            if not create:
                missing = why_empty(file_of(engine.url)) if state.is_empty else None
                raise ForeignDatabase(
                    f"{shown(engine.url)} holds no replaytree tables; "
                    + (missing or f"check --storage, or make them with {advice(engine.url, 'db', 'upgrade')}")
                )
            _upgrade(engine, state)
        elif state.revision != head_revision():
            raise SchemaMismatch(
                f"{shown(engine.url)} is of revision {state.revision}, and this replaytree needs {head_revision()}; "
                f"run {advice(engine.url, 'db', 'upgrade')}"
            )
        _use_write_ahead_log(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def upgrade(url: str | URL) -> Upgraded:
    """Bring a database to this version's schema, or make a new one.

    A SQLite file that is not empty is copied first. Raises like open_engine.
    """
    engine = build_engine(url)
    try:
        state = _state(engine)
        _require_known(state, engine.url)
        return _upgrade(engine, state)
    finally:
        engine.dispose()


def current_revision(engine: Engine) -> str | None:
    """The schema revision of the database; None if it has none of replaytree's tables."""
    return _state(engine).revision


@lru_cache
def head_revision() -> str:
    """The schema revision that this version of replaytree reads and writes."""
    return max(known_revisions())


def known_revisions() -> set[str]:
    """All schema revisions up to the head."""
    # Alembic is slow to import. The files are numbered, and a test compares the numbers with what Alembic reads.
    return {file.name.partition("_")[0] for file in (migrations_dir() / "versions").glob("[0-9]*.py")}


def migrate(connection: Connection, revision: str) -> None:
    """Bring the schema up to a revision, in the connection's transaction."""
    from alembic import command

    command.upgrade(_alembic_config(connection), revision)


def migrations_dir() -> Path:
    """Where the migrations are: inside an installed package, or at the root of a source checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that only reads, and sees one state; SQLAlchemy's errors become StorageErrors."""
    with _translating(engine.url), engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # By default each statement sees the latest commits; a SQLite transaction sees one state.
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine, *, durable: bool = False) -> Iterator[Connection]:
    """A connection in a transaction that may write: all or nothing; errors as in `reading`.

    After a power failure SQLite may have lost the last transactions, in order; a `durable` one, and all before it, not.
    """
    with _translating(engine.url), engine.connect() as connection:
        connection.execution_options(**{_WRITE: True, _DURABLE: durable})
        with connection.begin():
            yield connection


def require_writable(engine: Engine) -> None:
    """Raise StorageUnavailable at once if a file or its folder is read-only."""
    path = file_of(engine.url)
    if path is None:
        return
    why = None
    if engine.url.query.get("mode") == "ro" or "immutable" in engine.url.query:
        why = "its URL says so"
    elif is_read_only(path):
        why = f"{path.absolute().parent if may(path, os.W_OK) else path} may not be written"
    if why is not None:
        raise StorageUnavailable(
            f"{shown(engine.url)} is read-only ({why}); make the file and its folder writable, or copy it elsewhere"
        )


def build_engine(url: str | URL, *, create: bool = True) -> Engine:
    """An engine with an unchecked schema; raises StorageUnavailable if the URL already shows a problem.

    Connections to PostgreSQL end with their transaction: a search may train for hours between two transactions, and a
    server allows only about a hundred connections. A SQLite file is kept open, so that it can be rescued if somebody
    deletes it.
    """
    parsed = parsed_url(url)
    if parsed.get_backend_name() != "sqlite":
        patience = _PSYCOPG_DEFAULTS if parsed.get_driver_name() == "psycopg" else {}
        own = {key: value for key, value in patience.items() if key not in parsed.query}
        return create_engine(parsed, poolclass=NullPool, connect_args=own)
    options: dict[str, Any] = {}
    arguments: dict[str, Any] = {} if "timeout" in parsed.query else {"timeout": BUSY_SECONDS}
    path = file_of(parsed)
    if path is not None:
        require_place(path, parsed, create=create)
    if parsed.database in (None, "", ":memory:"):
        options["poolclass"] = StaticPool
        arguments["check_same_thread"] = False
    elif path is not None and "uri" not in parsed.query and is_read_only(path):
        options["poolclass"] = NullPool
        options["creator"] = partial(connect_read_only, path, parsed, timeout=busy_seconds(parsed))
    engine = create_engine(parsed, connect_args=arguments, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    if path is not None:
        same = SameFile(path, parsed)
        event.listen(engine, "do_connect", lambda *_: same.require())
        event.listen(engine, "connect", lambda *_: same.remember())
        event.listen(engine, "begin", lambda connection: same.require() if _writes(connection) else None)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: sqlite3.Connection, record: object) -> None:
    # The driver must not begin transactions by itself: _begin_sqlite does (SQLAlchemy's recipe for pysqlite).
    dbapi_connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "synchronous=NORMAL", f"wal_autocheckpoint={CHECKPOINT_PAGES}"):
        dbapi_connection.execute(f"PRAGMA {pragma}").close()


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(_WRITE, False))


def _begin_sqlite(connection: Connection) -> None:
    if not _writes(connection):
        connection.exec_driver_sql("BEGIN")
        return
    durable = connection.get_execution_options().get(_DURABLE, False)
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}").close()
    for wait in (*BUSY_WAITS, None):
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if wait is None or "is locked" not in str(error):
                raise
            time.sleep(wait * JITTER.uniform(0.5, 1.5))
        else:
            return


@contextmanager
def _translating(url: URL, *, opening: bool = False) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise translated(error, url, opening=opening, cut=how_cut(file_of(url))) from error
    except OverflowError as error:
        # Python's whole numbers are unlimited; SQLite's driver raises OverflowError beyond 63 bits.
        raise ConfigError(f"a number is larger than {shown(url)} can hold, 2^63 - 1; give a smaller one") from error


def _state(engine: Engine) -> _State:
    with _translating(engine.url, opening=True), engine.connect() as connection, connection.begin():
        return _look(connection)


def _look(connection: Connection) -> _State:
    inspector = inspect(connection)
    # Views first: if another process creates the database in between, the tables then show everything.
    present = {*inspector.get_view_names(), *inspector.get_table_names()}
    stored = f"SELECT version_num FROM {VERSION_TABLE}"
    revision = connection.scalar(text(stored)) if VERSION_TABLE in present else None
    taken = tuple(sorted(present & {*Base.metadata.tables, *VIEWS}))
    return _State(revision, is_empty=not present, taken=taken)


def _require_known(state: _State, url: URL) -> None:
    """Raise if no upgrade could help."""
    if state.revision is None and state.taken:
        raise ForeignDatabase(
            f"{shown(url)} has a table {state.taken[0]!r} that replaytree did not make; "
            f"choose another database with --storage"
        )
    if state.revision is not None and state.revision not in known_revisions():
        raise SchemaMismatch(
            f"{shown(url)} is of revision {state.revision}, from a newer replaytree (this one knows up to "
            f"{head_revision()}); run `pip install --upgrade replaytree`"
        )


def _upgrade(engine: Engine, state: _State) -> Upgraded:
    if state.revision == head_revision():
        return Upgraded(state.revision, state.revision, None)
    require_writable(engine)
    backup = None if state.is_empty else back_up(engine, state.revision or "before")
    _use_write_ahead_log(engine)
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _POSTGRESQL_LOCK})
        # Another process may have upgraded since `state` was read; now the lock is ours.
        if _look(connection).revision != head_revision():
            migrate(connection, head_revision())
    return Upgraded(state.revision, head_revision(), backup)


def _alembic_config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    return config


def _use_write_ahead_log(engine: Engine) -> None:
    # The mode is stored in the file, so it is set only once the file is known to be ours.
    if engine.dialect.name != "sqlite":
        return
    with _translating(engine.url, opening=True), engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        deadline = time.monotonic() + busy_seconds(engine.url)
        while driver.execute("PRAGMA journal_mode").fetchone() not in (("wal",), ("memory",)):
            try:
                driver.execute("PRAGMA journal_mode=WAL").close()
            except sqlite3.OperationalError as error:
                # SQLite's own waiting does not cover this switch: threads that create one database at the same
                # time fail now and then.
                if "locked" in str(error) and time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                if "readonly" not in str(error):
                    raise
            # If it cannot be switched on (an immutable file, a network file system), SQLite keeps the old mode.
            return


def back_up(engine: Engine, label: str) -> Path | None:
    """Copy a SQLite file beside itself as NAME.backup-LABEL, consistently; its path, or None without a file."""
    if (path := file_of(engine.url)) is None:
        return None
    with reading(engine) as connection:
        return copy_beside(connection, path, f"backup-{label}")
