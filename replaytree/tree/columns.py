"""The types of columns. SQLite stores any value in any column; these types refuse to read a value of another type.

So every query returns values of the column's type or raises a StorageError. The command line then says which row is
wrong (`check.blamed`). PostgreSQL enforces types by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NoReturn

from sqlalchemy import BigInteger, Boolean, Connection, DateTime, Dialect, Double, Integer, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from replaytree.border import told
from replaytree.errors import StorageError

_Read = Callable[[Any], Any]
_AS_STORED: ContextVar[bool] = ContextVar("as stored", default=False)


@contextmanager
def as_stored(connection: Connection) -> Iterator[None]:
    """Read values of any type, in order to check them; bytes that are not UTF-8 become surrogates."""
    token = _AS_STORED.set(True)
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        driver.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        yield
    finally:
        _AS_STORED.reset(token)
        if isinstance(driver, sqlite3.Connection):
            driver.text_factory = str


def _reader(dialect: Dialect, kind: type, what: str) -> _Read | None:
    """The function that SQLAlchemy calls for every value of a column; None for no function."""
    if dialect.name != "sqlite":
        return None

    def read(value: Any) -> Any:
        return value if value is None or type(value) is kind or _AS_STORED.get() else _refuse(value, what)

    return read


def _refuse(value: object, what: str) -> NoReturn:
    raise StorageError(f"the database holds {told(value)} where {what} belongs; `replaytree db check` says where")


def _by_driver(kind: LargeBinary | Boolean, dialect: Dialect, coltype: object) -> _Read | None:
    made: _Read | None = kind.result_processor(dialect, coltype)  # type: ignore[no-untyped-call]
    return made


class Whole(Integer):
    """A whole number of up to 31 bits."""

    def result_processor(self, dialect: Dialect, coltype: object) -> _Read | None:
        """Refuses anything else."""
        return _reader(dialect, int, "a whole number")


class LargeWhole(BigInteger):
    """A whole number of up to 63 bits."""

    def result_processor(self, dialect: Dialect, coltype: object) -> _Read | None:
        """Refuses anything else."""
        return _reader(dialect, int, "a whole number")


class Number(Double[float]):
    """A number of double precision."""

    def result_processor(self, dialect: Dialect, coltype: object) -> _Read | None:
        """Refuses anything else."""
        return _reader(dialect, float, "a number")


class Words(Text):
    """Text of any length."""

    def result_processor(self, dialect: Dialect, coltype: object) -> _Read | None:
        """Refuses anything else."""
        return _reader(dialect, str, "a text")


class Blob(LargeBinary):
    """Bytes."""

    def result_processor(self, dialect: Dialect, coltype: object) -> _Read | None:
        """Refuses anything else."""
        return _reader(dialect, bytes, "bytes") or _by_driver(LargeBinary(), dialect, coltype)


class Truth(Boolean):
    """True or False, which SQLite stores as 1 and 0."""

    def result_processor(self, dialect: Dialect, coltype: object) -> _Read | None:
        """Refuses anything else."""
        if dialect.name != "sqlite":
            return _by_driver(Boolean(), dialect, coltype)

        def read(value: Any) -> Any:
            if value is None or (type(value) is int and value in (0, 1)):
                return None if value is None else value == 1
            return value if _AS_STORED.get() else _refuse(value, "true or false")

        return read


class UtcDateTime(TypeDecorator[datetime]):
    """A time zone aware datetime in UTC; SQLite, which keeps no zone, stores the UTC digits."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; the zone is dropped if the database would not keep it."""
        if value is None:
            return None
        assert value.tzinfo is not None, "times are stored with their zone"
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
