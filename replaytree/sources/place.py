"""Find a data set of files, even after it was moved: a folder, or a file of arrays or labels."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from replaytree.errors import DataError
from replaytree.sources.named import NAMED
from replaytree.sources.named_texts import TEXTS
from replaytree.sources.names import as_text, near_path

KNOWN = (*NAMED, *TEXTS)
"""The data sets known by name, of images and of text."""


FILES = (".npz", ".npy", ".csv")
"""What a data set that is a file ends in."""


def find_source(dataset: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder or file that a data set's path names: in `data_dir`, or `data_dir` itself, or the path as it is.

    `data_dir` is where it was moved to: its new parent, or the folder itself under any name. Raises a DataError that
    lists the places searched if none of these exists.
    """
    path = _path(dataset)
    if (found := _by_name(path, data_dir)) is not None:
        return found
    if _is_source(path):
        return path
    # REPLAYTREE_DATA is the folder of the named data sets, not one that somebody moved.
    said = data_dir is not None and os.fspath(data_dir) != os.environ.get("REPLAYTREE_DATA")
    if data_dir is not None and said and path.is_absolute() and not _is_file(path) and _path(data_dir).is_dir():
        return _path(data_dir)
    raise DataError(_nowhere(dataset, path, data_dir))


def source_name(dataset: str, data_dir: str | os.PathLike[str] | None = None) -> str:
    """What a data set of files is called: its folder, or its file without the ending."""
    return as_text(bare_name(find_source(dataset, data_dir).resolve()))


def bare_name(path: Path) -> str:
    """The last name of a path, without the ending of a file; of .npy files side by side, that of their folder."""
    if path.suffix.lower() == ".npy":
        return path.parent.name
    return path.stem if _is_file(path) else path.name


def stored_path(dataset: str, data_dir: str | os.PathLike[str] | None = None) -> str:
    """The absolute path of a folder or file, which another working directory finds; names of data sets as they are.

    DataError where there is none.
    """
    return dataset if dataset in KNOWN else os.path.abspath(find_source(dataset, data_dir))


def _path(given: str | os.PathLike[str]) -> Path:
    """The path with ~ replaced if the home folder is known; Path.expanduser raises if it is not."""
    if not os.fspath(given):
        raise DataError(f"the data set's name is empty; give one of {', '.join(KNOWN)}, or the path of a folder")
    return Path(os.path.expanduser(given))


def _by_name(path: Path, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """What has the path's last name in `data_dir`, or `data_dir` itself if that is its name."""
    if data_dir is None or not path.name:
        return None
    root = _path(data_dir)
    if _is_source(root / path.name):
        return root / path.name
    return root if root.name == path.name and _is_source(root) else None


def _is_source(path: Path) -> bool:
    return path.is_dir() or (_is_file(path) and path.is_file())


def _is_file(path: Path) -> bool:
    """Whether a path is named like a data set that is a file."""
    return path.suffix.lower() in FILES


def _nowhere(dataset: str, path: Path, data_dir: str | os.PathLike[str] | None) -> str:
    if path.exists():
        return (
            f"{as_text(path)} is no data set; give the folder that holds the class folders, or a file that ends in "
            f"{', '.join(FILES)}"
        )
    near = near_path(path, _is_source)
    if len(path.parts) == 1 and not path.is_absolute():
        known = difflib.get_close_matches(dataset.lower().replace("_", "-"), KNOWN, n=1)
        guess = known[0] if known and near is None else near
        hint = "." if guess is None else f"; did you mean {as_text(guess)}?"
        return (
            f"{as_text(dataset)!r} is neither a data set nor a folder{hint} Known data sets: {', '.join(KNOWN)}; or "
            f"give the path of a folder with train/<class>/ images, of one with train.txt and valid.txt, or of a file "
            f"that ends in {', '.join(FILES)}"
        )
    kind = "file" if _is_file(path) else "folder"
    if near is not None:
        return f"the {kind} {as_text(path)} does not exist; did you mean {as_text(near)}?"
    looked = "" if data_dir is None else f", nor {as_text(path.name)} in {as_text(data_dir)}"
    return (
        f"the {kind} {as_text(path)} does not exist{looked}; check the path, or, where it was moved, say where it is "
        f"with --data-dir"
    )
