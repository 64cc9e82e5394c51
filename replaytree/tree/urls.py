"""Storage URLs: what can be wrong with one before anything is connected to."""

from __future__ import annotations

from sqlalchemy import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from replaytree.config import DEFAULT_STORAGE, storage_url
from replaytree.errors import StorageUnavailable
from replaytree.tree.storage_errors import shown

BUSY_SECONDS = 30.0
_MOST_SECONDS = 1e6
_SQLITE_OPTIONS = {"timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements", "uri"}


def parsed_url(url: str | URL) -> URL:
    """A URL, or the name of a SQLite file, as one that a driver of this machine can open; or StorageUnavailable."""
    if isinstance(url, str):
        url = storage_url(url)
        if not url.isprintable():
            raise StorageUnavailable(f"storage is {url!a}, which has characters that no name of a database has")
    try:
        parsed = make_url(url)
        parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise StorageUnavailable(
            f"storage is {shown(url)!r}, which is not a database URL; write a file's name, or one such as "
            f"{DEFAULT_STORAGE} or postgresql://user@host/database"
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StorageUnavailable(
            f"storage is {shown(parsed)}, and {parsed.get_backend_name()!r} is not a database that replaytree knows; "
            f"use sqlite:/// or postgresql://"
        )
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        dialect = parsed.get_dialect()
        dialect.import_dbapi()
    except NoSuchModuleError as error:
        raise StorageUnavailable(
            f"storage is {shown(parsed)}, and there is no driver {parsed.drivername!r}; "
            f"leave the driver out: {parsed.get_backend_name()}://"
        ) from error
    except ImportError as error:
        package = "psycopg[binary]" if parsed.get_driver_name() == "psycopg" else parsed.get_driver_name()
        raise StorageUnavailable(
            f"storage is {shown(parsed)}, whose driver is not installed ({error}); run `pip install '{package}'`"
        ) from error
    if dialect.is_async:
        raise StorageUnavailable(
            f"storage is {shown(parsed)}, whose driver is asynchronous; leave it out: {parsed.get_backend_name()}://"
        )
    _require_options(parsed, dialect())
    return parsed


def _require_options(url: URL, dialect: Dialect) -> None:
    """What stands after the question mark, as far as the driver does not look at it before it connects."""
    try:
        if url.get_backend_name() == "sqlite":
            foreign = sorted(set(url.query) - _SQLITE_OPTIONS)
            if foreign and "uri" not in url.query:
                raise ValueError(
                    f"there is no option {foreign[0]!r}; SQLite's own go into sqlite:///file:NAME?{foreign[0]}=...&uri=true"
                )
            if not 0 <= busy_seconds(url) <= _MOST_SECONDS:
                raise ValueError(f"timeout is {busy_seconds(url)}; it must be a number of seconds")
        dialect.create_connect_args(url)
    except (ArgumentError, TypeError, ValueError) as error:
        raise StorageUnavailable(
            f"storage is {shown(url)}, which cannot be opened ({error}); write it as in {DEFAULT_STORAGE} or "
            f"postgresql://user@host/database"
        ) from error


def busy_seconds(url: URL) -> float:
    """Seconds that SQLite waits for a lock."""
    return float(str(url.query.get("timeout", BUSY_SECONDS)))
