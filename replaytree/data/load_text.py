"""load_text(): from the name of a text, or the path of a folder, to TextData; and which task a data set is for."""

from __future__ import annotations

import os
from pathlib import Path

from replaytree.data.text import TextData
from replaytree.errors import DataError
from replaytree.sources.named import data_folder
from replaytree.sources.named_texts import TEXTS, read_text, text_files
from replaytree.sources.names import as_text, quoted
from replaytree.sources.place import find_source, source_name

DataDir = str | os.PathLike[str] | None


def load_text(
    dataset: str | os.PathLike[str],
    *,
    data_dir: DataDir = None,
    min_count: int = 1,
    train_limit: int | None = None,
) -> TextData:
    """The train and validation words of a named text, or of a folder with train.txt and valid.txt; never the test part.

    Words are what white space separates, and each line ends with <eos>. `data_dir` is the folder that holds the folders
    of named texts, or where a folder was moved to. `train_limit` trains on this many first words. Raises DataError.
    """
    if not isinstance(dataset, str | os.PathLike):
        raise DataError(
            f"dataset is a {type(dataset).__name__}; it must be a name ({', '.join(TEXTS)}) or the path of a folder"
        )
    name = os.fspath(dataset)
    train, valid = (read_part(name, part, data_dir=data_dir) for part in ("train", "valid"))
    shown = name if name in TEXTS else source_name(name, data_dir)
    data = TextData.from_text(shown, train=train, valid=valid, min_count=min_count, train_limit=train_limit)
    known = TEXTS.get(name)
    if known is not None and min_count == 1:
        whole = data.train_count if train_limit is None else known.train_count
        if (whole, data.num_classes) != (known.train_count, known.word_count):
            raise DataError(
                f"the files of {name} have {whole:,} train words and {data.num_classes:,} different ones, not "
                f"{known.train_count:,} and {known.word_count:,}: they are others, or damaged; copy them again"
            )
    return data


def read_part(dataset: str, part: str, *, data_dir: DataDir = None) -> str:
    """The text of a part, `train`, `valid` or `test`; DataError where there is none. `test` is for `deliver` alone."""
    folder = data_folder(data_dir) / dataset if dataset in TEXTS else find_source(dataset, data_dir)
    files = text_files(folder, name=dataset)
    if part not in files:
        raise DataError(_missing(dataset, part, folder))
    return read_text(files[part])


def _missing(dataset: str, part: str, folder: Path) -> str:
    if dataset in TEXTS:
        wanted = TEXTS[dataset].file.format(part)
        return (
            f"{dataset} is not under {as_text(folder.parent)}: there is no {dataset}/{wanted}, nor {wanted}.gz. Its "
            f"licence allows no download: copy the files there, or say where they are with --data-dir or "
            f"REPLAYTREE_DATA"
        )
    return (
        f"{as_text(folder)} has no {part}.txt; a text is a folder with train.txt, valid.txt and test.txt, and a folder "
        f"of pictures is searched with --task images --dataset {quoted(folder)}"
    )
