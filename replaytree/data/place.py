"""Find a folder of pictures, even after it was moved."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from replaytree.data.named import NAMED
from replaytree.data.named_texts import TEXTS
from replaytree.data.names import as_text
from replaytree.errors import DataError

KNOWN = (*NAMED, *TEXTS)
"""The data sets known by name, of images and of text."""


def find_folder(dataset: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder that a data set's path names: in `data_dir`, or `data_dir` itself, or the path as it is.

    `data_dir` is where the folder was moved to: its new parent, or the folder itself under any name. Raises a
    DataError that lists the places searched if none of these exists.
    """
    path = _path(dataset)
    if (found := _by_name(path, data_dir)) is not None:
        return found
    if path.is_dir():
        return path
    # REPLAYTREE_DATA is the folder of the named data sets, not one that somebody moved.
    said = data_dir is not None and os.fspath(data_dir) != os.environ.get("REPLAYTREE_DATA")
    if data_dir is not None and said and path.is_absolute() and _path(data_dir).is_dir():
        return _path(data_dir)
    raise DataError(_nowhere(dataset, path, data_dir))


def stored_path(dataset: str, data_dir: str | os.PathLike[str] | None = None) -> str:
    """A folder's absolute path, so that another working directory finds it; names of data sets as they are.

    DataError where there is no such folder.
    """
    if dataset in KNOWN:
        return dataset
    path = _path(dataset)
    found = _by_name(path, data_dir)
    if found is None and not path.is_dir():
        raise DataError(_nowhere(dataset, path, data_dir))
    return os.path.abspath(found or path)


def _path(given: str | os.PathLike[str]) -> Path:
    """The path with ~ replaced if the home folder is known; Path.expanduser raises if it is not."""
    if not os.fspath(given):
        raise DataError(f"the data set's name is empty; give one of {', '.join(KNOWN)}, or the path of a folder")
    return Path(os.path.expanduser(given))


def _by_name(path: Path, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """The folder in `data_dir` with the path's last name, or `data_dir` itself if that is its name."""
    if data_dir is None or not path.name:
        return None
    root = _path(data_dir)
    if (root / path.name).is_dir():
        return root / path.name
    return root if root.name == path.name and root.is_dir() else None


def _nowhere(dataset: str, path: Path, data_dir: str | os.PathLike[str] | None) -> str:
    if path.exists():
        return f"{as_text(path)} is a file; give the folder that holds the class folders"
    near = difflib.get_close_matches(path.name, _folders_beside(path), n=1, cutoff=0.7)
    if len(path.parts) == 1 and not path.is_absolute():
        guess = near or difflib.get_close_matches(dataset.lower().replace("_", "-"), KNOWN, n=1)
        hint = f"; did you mean {as_text(guess[0])}?" if guess else "."
        return (
            f"{as_text(dataset)!r} is neither a data set nor a folder{hint} Known data sets: {', '.join(KNOWN)}; or "
            f"give the path of a folder with train/<class>/ images, or of one with train.txt and valid.txt"
        )
    if near:
        return f"the folder {as_text(path)} does not exist; did you mean {as_text(path.with_name(near[0]))}?"
    looked = "" if data_dir is None else f", nor {as_text(path.name)} in {as_text(data_dir)}"
    return (
        f"the folder {as_text(path)} does not exist{looked}; check the path, or, where it was moved, say where it is "
        f"with --data-dir"
    )


def _folders_beside(path: Path) -> list[str]:
    """The names of the folders where this one was looked for; none where they cannot be listed."""
    try:
        return sorted(each.name for each in path.parent.iterdir() if each.is_dir())
    except OSError:
        return []
