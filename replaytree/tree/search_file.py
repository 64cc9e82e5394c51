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

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from replaytree.errors import SearchFileError, StorageUnavailable

FORMAT = "replaytree search"
VERSION = 1
# A strategy's state is the longest line: megabytes, not gigabytes.
LONGEST_LINE = 2**30

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
    part = file.with_name(f"{file.name}.part")
    try:
        try:
            with part.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
                _write(packed, header, rows)
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


def _write(packed: gzip.GzipFile, header: Header, rows: Iterable[Row]) -> None:
    digest = hashlib.sha256()
    count = 0
    first = {"format": FORMAT, "version": VERSION, "revision": header.revision}
    for row in chain([first], rows):
        line = _line(row)
        digest.update(line)
        packed.write(line)
        count += 1
    packed.write(_line({"end": {"lines": count, "sha256": digest.hexdigest()}}))


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line with its end) of the unpacked file."""
    try:
        with gzip.open(file) as packed:
            number = 0
            while line := packed.readline(LONGEST_LINE):
                number += 1
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


def _header(file: Path, line: bytes) -> Header:
    header = _object(file, 1, line)
    version = header.get("version")
    if header.get("format") != FORMAT or not isinstance(version, int) or not isinstance(header.get("revision"), str):
        raise SearchFileError(f"{file} is not an exported search; `replaytree db export NAME FILE` makes such files")
    if version > VERSION:
        raise SearchFileError(
            f"{file} is of format {version}, from a newer replaytree (this one knows up to {VERSION}); "
            f"run `pip install --upgrade replaytree`"
        )
    return Header(revision=header["revision"])


def _object(file: Path, number: int, line: bytes) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SearchFileError(f"{file}, line {number}: not JSON ({error}); export the search again") from error
    if not isinstance(value, dict):
        raise SearchFileError(f"{file}, line {number}: not a JSON object; export the search again")
    return value


def _line(row: Row) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
