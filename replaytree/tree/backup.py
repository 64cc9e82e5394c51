"""Copies of a SQLite database: before it is changed, and out of the hands of who deletes it while it is in use.

A copy stands under its name only when it is whole and on the disk; what an interruption leaves has another name.
"""

from __future__ import annotations

import fcntl
import glob
import os
import sqlite3
import tempfile
from itertools import count
from pathlib import Path

from sqlalchemy import Connection

from replaytree.errors import StorageUnavailable

# 16 MiB at a time, so that Ctrl-C does not wait for the rest.
_PAGES_AT_ONCE = 4096


def copy_beside(connection: Connection, path: Path, label: str) -> Path:
    """Copy the file that a connection reads beside itself, as STEM.LABEL and its suffix, consistently; the copy."""
    try:
        return _copied(connection, path.absolute().parent, path, label)
    except OSError as error:
        raise StorageUnavailable(
            f"no copy of {path} can be made beside it ({error.strerror or error}), so it was left as it is; make room "
            f"there, or make the folder writable"
        ) from error


def rescue(connection: Connection, path: Path) -> Path | None:
    """Copy a database whose file was deleted or replaced, out of a connection that still has it.

    It is written beside the old place, or where that can be: here, or with the temporary files. None: nowhere.
    """
    for folder in (path.absolute().parent, Path.cwd(), Path(tempfile.gettempdir())):
        try:
            return _copied(connection, folder, path, "rescued")
        except OSError:
            continue
    return None


def _copied(connection: Connection, folder: Path, path: Path, label: str) -> Path:
    """One state of the database as a new file STEM.LABEL[-N] in a folder; OSError where it cannot be written."""
    source = connection.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    # Reading begins the transaction, and with it the one state that all pages are of.
    source.execute("SELECT COUNT(*) FROM sqlite_master").close()
    start = f".{path.stem}.{label}-"
    _remove_left(folder, start)
    descriptor, name = tempfile.mkstemp(prefix=start, suffix=".partial", dir=folder)
    # Held as long as the copy is being made, so that nobody takes it for a left one.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    partial = Path(name)
    try:
        target = sqlite3.connect(partial)
        try:
            # Nobody reads it before it has its name, so it needs no journal beside it.
            target.execute("PRAGMA journal_mode=OFF").close()
            target.execute("PRAGMA synchronous=OFF").close()
            source.backup(target, pages=_PAGES_AT_ONCE, progress=_progress)
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error
        finally:
            target.close()
        _flush(partial)
        partial.chmod(0o666 & ~_umask())
        copy = _named(partial, folder, path, label)
        _flush(folder)
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)
    return copy


def _remove_left(folder: Path, start: str) -> None:
    """Remove the half-made copies of processes that were killed; a living one holds its own."""
    for left in folder.glob(f"{glob.escape(start)}*.partial"):
        try:
            with left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
        except OSError:
            continue


def _progress(*_: int) -> None:
    """Python looks at signals while it calls this."""


def _named(partial: Path, folder: Path, path: Path, label: str) -> Path:
    """Give the copy the first name that is free; one that another process takes meanwhile is never overwritten."""
    for number in count(1):
        copy = folder / f"{path.stem}.{label}{'' if number == 1 else f'-{number}'}{path.suffix}"
        if copy.exists():
            continue
        try:
            os.link(partial, copy)
        except FileExistsError:
            continue
        except OSError:
            # Some file systems know no links.
            partial.rename(copy)
        return copy
    raise AssertionError("numbers do not end")


def _flush(path: Path) -> None:
    """To the disk; a folder, too, which holds the names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if path.is_file():
            raise
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
