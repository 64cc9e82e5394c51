"""The texts known by name, and the files of a text."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from replaytree.errors import DataError
from replaytree.sources.names import as_text

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class NamedText:
    """A text known by name: files `file`.format(part) in its folder; `train_count` and `word_count` are checked."""

    file: str
    train_count: int
    word_count: int


TEXTS: dict[str, NamedText] = {
    # T. Mikolov's files of the Penn Treebank. Their licence allows no download.
    "ptb": NamedText("ptb.{}.txt", train_count=929_589, word_count=10_000)
}


def text_files(folder: Path, *, name: str | None = None) -> dict[str, Path]:
    """The files of a text's parts that are in its folder, perhaps gzipped, by part."""
    pattern = TEXTS[name].file if name in TEXTS else "{}.txt"
    found = {}
    for part in PARTS:
        plain = folder / pattern.format(part)
        packed = plain.with_name(plain.name + ".gz")
        if plain.is_file() or packed.is_file():
            found[part] = plain if plain.is_file() else packed
    return found


def holds_text(folder: Path) -> bool:
    """Whether a folder has a train and a validation text."""
    return {"train", "valid"} <= set(text_files(folder))


def begins_text(folder: Path) -> bool:
    """Whether a folder has files of a text, and nothing else that could be data: perhaps a part is missing."""
    parts = text_files(folder)
    return bool({"train", "valid"} & set(parts)) and set(folder.iterdir()) == set(parts.values())


def texts_found(root: Path) -> dict[str, bool]:
    """For each named text: are its train and validation files here?"""
    return {name: {"train", "valid"} <= set(text_files(root / name, name=name)) for name in TEXTS}


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, line ends as newlines; DataError, naming the line, where it is none."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"{as_text(file)} cannot be read ({error}); put a whole file in its place") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"line {line} of {as_text(file)} is not UTF-8 (byte 0x{content[error.start]:02x}); convert the file, as "
            f"with iconv -t UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
