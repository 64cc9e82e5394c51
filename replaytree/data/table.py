"""A table of pictures: a CSV with the columns file and label, or names that others give these, and perhaps split."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replaytree.config.source import Resize
from replaytree.data.deep import Range
from replaytree.data.images import Labelled, SourceImages
from replaytree.data.layout import Part, part_of
from replaytree.data.picture_parts import PicturePart, decoded_part, decoded_parts, refused_later, require_pictures
from replaytree.data.resize import Sides
from replaytree.errors import DataError
from replaytree.sources.names import as_text, count_of, some

TABLE = ".csv"
# What the columns are called, the usual name first.
_COLUMNS = {
    "file": ("file", "filename", "file_name", "image", "path", "filepath", "file_path", "image_path"),
    "label": ("label", "class", "target", "category", "class_name"),
}
_SPLIT = "split"
_DELIMITERS = ",;\t"
# Of missing files as many are named.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Row:
    """`file` is as the table has it."""

    line: int
    file: str
    path: str
    label: str
    part: Part


def is_table(path: Path) -> bool:
    """Whether a path is a table of pictures."""
    return path.is_file() and path.suffix.lower() == TABLE


def table_parts(path: Path) -> set[Part]:
    """Which of `train`, `val` and `test` a table has rows of. Looks at the table alone."""
    return {row.part for row in _rows(path)}


def read_table(path: Path, *, sides: Sides, resize: Resize, skip_bad: bool) -> SourceImages:
    """The pictures of the train rows, and of the validation rows if there are any; never those of test rows.

    DataError for a table without these columns, for missing files (with `skip_bad` these are left out and named
    instead), and for classes with too few pictures.
    """
    rows, renamed = _table(path)
    classes = tuple(sorted({row.label for row in rows if row.part == "train"}))
    if len(classes) < 2:
        have = f"only the label {classes[0]!r}" if classes else "no rows"
        raise DataError(f"{as_text(path)} has {have} to train on; it needs at least two labels")
    if not skip_bad:
        _require_files(path, rows)
    parts = [_part(path, rows, "train", classes)]
    if any(row.part == "val" for row in rows):
        parts.append(_part(path, rows, "val", classes))
    least = 1 if len(parts) > 1 else 2
    for part, needed in zip(parts, (least, 1), strict=False):
        require_pictures(part.labels, classes, path, least=needed, left_out={})
    read = decoded_parts(
        path.parent, parts, classes, least=least, sides=sides, resize=resize, skip_bad=skip_bad, left_out={}
    )
    counts = Counter(row.part for row in rows)
    names: Mapping[Part, str] = {"train": "train", "val": "validation", "test": "test (not read before a retraining)"}
    taken = ", ".join(f"{count_of(counts[part], 'row')} as {name}" for part, name in names.items() if counts[part])
    columns = "".join(f"; the column {own} as {name}" for own, name in renamed.items())
    refused = refused_later(lambda: _part(path, rows, "test", classes))
    return read.source([f"{as_text(path.name)}: {taken}{columns}", *refused])


def read_table_part(
    path: Path,
    part: Part,
    classes: tuple[str, ...],
    *,
    sides: Sides,
    resize: Resize,
    skip_bad: bool,
    ranges: Mapping[str, Range],
) -> Labelled:
    """The pictures of another part, decoded in the same way as the train part."""
    found = _part(path, _rows(path), part, classes)
    return decoded_part(path.parent, found, classes, sides=sides, resize=resize, skip_bad=skip_bad, ranges=ranges)


def _rows(path: Path) -> list[_Row]:
    return _table(path)[0]


def _table(path: Path) -> tuple[list[_Row], dict[str, str]]:
    """The rows, and by the name of each column that is another than the usual one, that one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise DataError(f"{as_text(path)} cannot be read: {reason}; save it again as a CSV in UTF-8") from error
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    table = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        first = [cell.strip() for cell in next(table, [])]
        _require_header(path, first, delimiter)
        given = [name.casefold() for name in first]
        renamed = {own: name for name in _COLUMNS if (own := _column(path, name, given)) != name}
        header = [renamed.get(name, name) for name in given]
        if twice := next((name for name in (*_COLUMNS, _SPLIT) if header.count(name) > 1), None):
            own = given[header.index(twice)]
            raise DataError(
                f"the first line of {as_text(path)} names {header.count(twice)} columns {own}; call only the {twice} so"
            )
        rows = [
            # A line that ends early has empty cells.
            _row(path, table.line_num, dict.fromkeys(header, "") | dict(zip(header, cells, strict=False)))
            for cells in table
            if any(cells)
        ]
        return rows, renamed
    except csv.Error as error:
        raise DataError(f"line {table.line_num} of {as_text(path)} is no line of a CSV: {error}") from error


def _require_header(path: Path, first: list[str], delimiter: str) -> None:
    """DataError where the first line names a file that is there, as all lines behind a header do."""
    if any(cell.casefold() in usual for usual in _COLUMNS.values() for cell in first):
        return
    are_files = [bool(cell) and os.path.isfile(_placed(path, cell)) for cell in first]
    if any(are_files):
        names = ["file" if is_file else "label" for is_file in are_files]
        header = delimiter.join(names if sorted(names) == sorted(_COLUMNS) else _COLUMNS)
        raise DataError(f"{as_text(path)} has no header line; write {header} as its first, before {as_text(first[0])}")


def _placed(path: Path, file: str) -> str:
    """Where a file of a table is: its path is relative to the table's folder."""
    return os.path.join(path.parent, os.path.expanduser(file))


def _column(path: Path, name: str, header: list[str]) -> str:
    """What a column is called in a table; DataError where it has none, or several and none of the usual name."""
    usual = _COLUMNS[name]
    found = [each for each in usual if each in header]
    if len(found) == 1 or found[:1] == [name]:
        return found[0]
    names = f"the first line of {as_text(path)} names {some([as_text(each) for each in header], 5) or 'nothing'}"
    if found:
        raise DataError(f"{names}: {' and '.join(found)} may each be the {name}; call the right one {name}")
    raise DataError(
        f"{names}; it must name file and label, and may name split. There is no column for the {name}: call it {name} "
        f"(or {', '.join(usual[1:])})"
    )


def _row(path: Path, line: int, cells: Mapping[str, str]) -> _Row:
    file, label, split = (cells.get(name, "").strip() for name in (*_COLUMNS, _SPLIT))
    if not file or not label:
        raise DataError(
            f"line {line} of {as_text(path)} has no {'label' if file else 'file'}; add it, or remove the line"
        )
    part = part_of(split) if _SPLIT in cells else "train"
    if part is None:
        raise DataError(
            f"line {line} of {as_text(path)} has the split {as_text(split)!r}; it must be train, val or test"
        )
    return _Row(line, file, _placed(path, file), as_text(label), part)


def _require_files(path: Path, rows: list[_Row]) -> None:
    """DataError that names the files that are not there, of all parts: looked for, not read."""
    missing = [as_text(row.file) for row in rows if not os.path.isfile(row.path)]
    if missing:
        raise DataError(
            f"{len(missing):,} of {count_of(len(rows), 'file')} that {as_text(path)} names "
            f"{'does' if len(missing) == 1 else 'do'} not exist: {some(missing, _NAMED)}; paths are relative to "
            f"{as_text(path.parent)}; put them there, remove the lines, or leave them out with --skip-bad"
        )


def _part(path: Path, rows: list[_Row], part: Part, classes: tuple[str, ...]) -> PicturePart:
    own = [row for row in rows if row.part == part]
    if unknown := sorted({row.label for row in own} - set(classes)):
        raise DataError(f"{as_text(path)} has labels in its {part} rows that no train row has: {some(unknown)}")
    number = {name: index for index, name in enumerate(classes)}
    return PicturePart(path, [row.path for row in own], [number[row.label] for row in own])
