"""A SQLite database as a file: whether it can be opened and written, whether it is whole, and still the same one."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL

from replaytree.errors import DatabaseGone, StorageUnavailable
from replaytree.tree.storage_errors import shown

_MAGIC = b"SQLite format 3\x00"
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def file_of(url: URL) -> Path | None:
    """The file of a SQLite database; None for one in memory, and for another kind of database."""
    name = str(url.database or "")
    if url.get_backend_name() != "sqlite" or name in ("", ":memory:") or url.query.get("mode") == "memory":
        return None
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
        # file:///folder/x.db and file://localhost/folder/x.db are of this machine.
        name = "/" + name[2:].partition("/")[2] if name.startswith("//") else name
    return None if name in ("", ":memory:") else Path(name)


def require_place(path: Path, url: URL, *, create: bool) -> None:
    """StorageUnavailable where there can be no database: SQLite would wait for a pipe, and call a folder unable."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except (OSError, ValueError) as error:
        raise _cannot(url, f"{getattr(error, 'strerror', None) or error}; check --storage") from error
    if mode is not None:
        if kind := next((kind for fits, kind in _KINDS if fits(mode)), None):
            within = " in it" if stat.S_ISDIR(mode) else ""
            raise _cannot(url, f"{path} is {kind}; name a file{within}")
        if not may(path, os.R_OK):
            raise _cannot(url, f"you may not read {path}; ask its owner, or check --storage")
        return
    if not path.parent.is_dir():
        raise _cannot(url, f"there is no folder {path.parent}; make it, or check --storage")
    if not create:
        raise _cannot(url, f"there is no file {path}; check --storage, or start a search there")
    if not may(path.parent, os.W_OK):
        raise StorageUnavailable(f"{shown(url)} cannot be made: the folder {path.parent} is read-only; choose another")


def may(path: Path, mode: int) -> bool:
    """Whether this process may read or write a file or folder."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def is_read_only(path: Path) -> bool:
    """Whether this process may not write an existing file, or its folder, where the write-ahead log lies."""
    return path.exists() and not (may(path, os.W_OK) and may(path.parent, os.W_OK))


def connect_read_only(path: Path, url: URL, *, timeout: float) -> sqlite3.Connection:
    """A connection that reads a file on a medium or in a folder that cannot be written.

    SQLite reads a log only if it can make or find an index of it beside the file. Without a log there is nothing to
    miss, and `immutable` does without the index.
    """
    name = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(name, uri=True, timeout=timeout, check_same_thread=False)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").close()
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error):
            raise
        if _size(_log_of(path)):
            raise StorageUnavailable(
                f"{shown(url)} has changes in {_log_of(path).name} that cannot be read where nothing can be written "
                f"({error}); copy both files to a folder of your own"
            ) from error
        return sqlite3.connect(f"{name}&immutable=1", uri=True, timeout=timeout, check_same_thread=False)
    return connection


def why_empty(path: Path | None) -> str | None:
    """What a file without tables probably lacks; None where there is nothing to say."""
    header = _header(path) if path is not None else b""
    if path is None or header[18:20] != b"\x02\x02" or _size(_log_of(path)):
        return None
    log, index = _log_of(path).name, f"{path.name}-shm"
    return (
        f"it was probably copied without {log}, in which SQLite keeps what is new: copy {path.name}, {log} and {index} "
        f"together from where the search ran (or there use `replaytree db export`)"
    )


def how_cut(path: Path | None) -> str | None:
    """How much of a file is missing, by its own header; None where none is, or nobody can say."""
    header = _header(path) if path is not None else b""
    if path is None or len(header) < 100 or not header.startswith(_MAGIC):
        return None
    page = int.from_bytes(header[16:18], "big")
    whole, size = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big"), _size(path)
    return f"the file is cut short: {size} of {whole} bytes are there" if size < whole else None


class SameFile:
    """Remembers which file a database is, and notices where its name has come to mean another, or none."""

    def __init__(self, path: Path, url: URL) -> None:
        self.path = path.absolute()
        self._url = url
        self._found: tuple[int, int] | None = None

    def remember(self) -> None:
        """After the first connection, which may have made the file."""
        if self._found is None:
            self._found = self._now()

    def require(self) -> None:
        """DatabaseGone where the file is not the one that was opened."""
        if self._found is None or (now := self._now()) == self._found:
            return
        what = "deleted or moved away" if now is None else "replaced by another file"
        raise DatabaseGone(f"{shown(self._url)} was {what} while it was in use; nothing more can be stored in it")

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _cannot(url: URL, why: str) -> StorageUnavailable:
    return StorageUnavailable(f"{shown(url)} cannot be opened: {why}")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError:
        return b""
