"""The file of an exported search: JSON lines, compressed with gzip. No SQL here.

    {"format": "replaytree search", "version": 1, "revision": "0001"}
    {"table": "searches", "name": "first", ...}
    {"table": "nodes", "parent_id": null, "action": 5, ...}        one line a row
    ...
    {"end": {"lines": 1234, "sha256": "..."}}                      of the uncompressed lines before it

A row that another table refers to has no id in the file: a reference counts the rows of its table, from 1. Times are
ISO 8601 in UTC, bytes are base64. Equal searches make equal files, byte for byte, in whatever database they lie.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import stat
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from replaytree.errors import SearchFileError, StorageUnavailable
from replaytree.tree.strict_json import strict_loads

FORMAT = "replaytree search"
VERSION = 1
# A line is held in memory, and the longest, a strategy's state, hardly shrinks: what swells more is no search.
LEAST_LINE = 16 * 2**20
LINE_SWELLING = 20
# Rows shrink to a tenth, alike ones to a fiftieth; gzip could make a thousandth of nothing at all.
LEAST_TOTAL = 16 * 2**20
TOTAL_SWELLING = 300

Row = dict[str, Any]
"""One line: the name of the table under "table", and the row's columns."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: the schema revision that the rows are of."""

    revision: str


def write_lines(file: Path, header: Header, rows: Iterable[Row]) -> None:
    """Write a whole file, or none: the lines go to a file beside it, which takes the name at the end.

    Raises StorageUnavailable where the file cannot be written.
    """
    try:
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "it is a folder, a pipe or a device")
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".exporting-", delete=False) as raw:
            part = Path(raw.name)
            try:
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
                    _write(packed, header, rows)
                raw.flush()
                os.fsync(raw.fileno())
                # The temporary file is its owner's alone; an export is for whoever may read the folder.
                part.chmod(0o666 & ~_umask())
                os.replace(part, file)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageUnavailable(f"{file} cannot be written ({error.strerror}); choose another file") from error


def read_header(file: Path) -> Header:
    """The first line; SearchFileError where the file is not an exported search, or of a later format."""
    for _, line in _lines(file):
        return _header(file, line)
    raise SearchFileError(f"{file} is empty; export the search again with `replaytree db export`")


def verify(file: Path) -> int:
    """Read the file to its end; the number of its rows. SearchFileError where it is truncated or was changed."""
    return sum(1 for _ in read_rows(file))


def read_rows(file: Path) -> Iterator[tuple[int, Row]]:
    """(line number, row) for each row; that the file is whole is known only when the iteration ends.

    Raises SearchFileError.
    """
    digest = hashlib.sha256()
    end: dict[str, Any] | None = None
    number = 0
    for number, line in _lines(file):
        if end is not None:
            raise SearchFileError(f"{file}, line {number}: lines follow the end; export the search again")
        if number == 1:
            _header(file, line)
        else:
            row = _object(file, number, line)
            end = row.get("end")
            if end is None:
                yield number, row
        if end is None:
            digest.update(line)
    if end is None:
        raise SearchFileError(f"{file} is truncated: it ends after line {number} without its last; export it again")
    if end != {"lines": number - 1, "sha256": digest.hexdigest()}:
        raise SearchFileError(f"{file} was changed: its lines do not have the checksum in the last; export it again")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(packed: gzip.GzipFile, header: Header, rows: Iterable[Row]) -> None:
    digest = hashlib.sha256()
    count = 0
    first: Row = {"format": FORMAT, "version": VERSION, "revision": header.revision}
    for row in chain([first], rows):
        line = _line(row)
        digest.update(line)
        packed.write(line)
        count += 1
    packed.write(_line({"end": {"lines": count, "sha256": digest.hexdigest()}}))


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line with its end) of the unpacked file."""
    try:
        size = _size(file)
        longest, total = max(LEAST_LINE, LINE_SWELLING * size), max(LEAST_TOTAL, TOTAL_SWELLING * size)
        with gzip.open(file) as packed:
            number = read = 0
            while line := packed.readline(longest + 1):
                number, read = number + 1, read + len(line)
                if len(line) > longest or read > total:
                    raise SearchFileError(
                        f"{file}, line {number}: it unpacks to more than {min(longest, total)} bytes, and the file has "
                        f"{size}; no search is like that: export it again"
                    )
                yield number, line
    except (EOFError, zlib.error) as error:
        raise SearchFileError(f"{file} is truncated or damaged ({error}); copy or export it again") from error
    except gzip.BadGzipFile as error:
        raise SearchFileError(
            f"{file} is not an exported search, or it is damaged ({error}); "
            f"`replaytree db export NAME FILE` makes such files"
        ) from error
    except OSError as error:
        raise SearchFileError(f"{file} cannot be read ({error.strerror}); check its name") from error


def _size(file: Path) -> int:
    """In bytes. A pipe would make us wait for a writer, and cannot be read twice."""
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
    if not stat.S_ISREG(found.st_mode):
        raise SearchFileError(f"{file} is no file but a pipe or a device; write what comes from it into a file first")
    return found.st_size


def _header(file: Path, line: bytes) -> Header:
    header = _object(file, 1, line)
    version = header.get("version")
    known = (
        isinstance(version, int) and version is not True and version >= 1 and isinstance(header.get("revision"), str)
    )
    if header.get("format") != FORMAT or not known:
        raise SearchFileError(f"{file} is not an exported search; `replaytree db export NAME FILE` makes such files")
    if version is None or version > VERSION:
        raise SearchFileError(
            f"{file} is of format {version}, from a newer replaytree (this one knows up to {VERSION}); "
            f"run `pip install --upgrade replaytree`"
        )
    return Header(revision=header["revision"])


def _object(file: Path, number: int, line: bytes) -> Row:
    try:
        value = strict_loads(line)
    except ValueError as error:
        raise SearchFileError(f"{file}, line {number}: not JSON ({error}); export the search again") from error
    if not isinstance(value, dict):
        raise SearchFileError(f"{file}, line {number}: not a JSON object; export the search again")
    return value


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
