"""The data sets of images known by name, and where their files are."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGITS = tuple("0123456789")
_MNIST_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True, slots=True)
class NamedDataSet:
    """A data set known by name.

    `reader` names its torchvision class, None for digits, which scikit-learn ships. `files` are the files under
    `data_dir` that torchvision reads; it unpacks them from `archive` if only the archive is there. `crop_padding` is
    for images of `side` pixels.
    """

    side: int
    crop_padding: int
    flip: bool
    reader: str | None = None
    files: tuple[str, ...] = ()
    archive: str | None = None
    classes: tuple[str, ...] | None = None

    def read(self, root: Path, *, download: bool, **split: Any) -> Any:
        """torchvision's data set of a split."""
        # Here, because it takes as long as torch itself, and neither digits nor folders need it.
        from torchvision import datasets

        assert self.reader is not None, "torchvision does not have this data set"
        return getattr(datasets, self.reader)(str(root), download=download, **split)


NAMED: dict[str, NamedDataSet] = {
    "digits": NamedDataSet(side=8, crop_padding=1, flip=False, classes=DIGITS),
    "mnist": NamedDataSet(
        side=28,
        crop_padding=2,
        flip=False,
        reader="MNIST",
        files=tuple(f"MNIST/raw/{file}" for file in _MNIST_FILES),
        classes=DIGITS,
    ),
    "fashion-mnist": NamedDataSet(
        side=28,
        crop_padding=2,
        flip=True,
        reader="FashionMNIST",
        files=tuple(f"FashionMNIST/raw/{file}" for file in _MNIST_FILES),
    ),
    "cifar10": NamedDataSet(
        side=32,
        crop_padding=4,
        flip=True,
        reader="CIFAR10",
        files=(
            *(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
            "cifar-10-batches-py/test_batch",
            "cifar-10-batches-py/batches.meta",
        ),
        archive="cifar-10-python.tar.gz",
    ),
    "cifar100": NamedDataSet(
        side=32,
        crop_padding=4,
        flip=True,
        reader="CIFAR100",
        files=tuple(f"cifar-100-python/{file}" for file in ("train", "test", "meta")),
        archive="cifar-100-python.tar.gz",
    ),
    "svhn": NamedDataSet(
        side=32, crop_padding=4, flip=False, reader="SVHN", files=("train_32x32.mat",), classes=DIGITS
    ),
}


def cache_folder() -> Path:
    """replaytree's folder in the user's cache: $XDG_CACHE_HOME, ~/.cache, or the temporary folder without a home."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen) / "replaytree"
    try:
        return Path.home() / ".cache" / "replaytree"
    except RuntimeError:  # neither HOME nor an entry in the user database, as in many containers
        return Path(tempfile.gettempdir()) / f"replaytree-{os.getuid()}"


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where named data sets are: `data_dir`, else $REPLAYTREE_DATA, else replaytree/data in the user's cache."""
    chosen = data_dir or os.environ.get("REPLAYTREE_DATA")
    return Path(os.path.expanduser(chosen)) if chosen else cache_folder() / "data"


def found(data_dir: str | os.PathLike[str] | None = None) -> dict[str, bool]:
    """For each named data set: are its files here? Looks at names only; downloads and decodes nothing."""
    root = data_folder(data_dir)
    return {name: _is_here(name, root) for name in NAMED}


def tree_of(name: str, root: Path) -> Path | None:
    """The folder of a named data set if it is stored as an image folder: `root`/`name`/train/<class>/*."""
    return root / name if (root / name / "train").is_dir() else None


def _is_here(name: str, root: Path) -> bool:
    known = NAMED[name]
    if tree_of(name, root) is not None:
        return True
    if known.reader is None:
        return importlib.util.find_spec("sklearn") is not None
    if known.archive is not None and (root / known.archive).is_file():
        return True
    return all((root / file).is_file() or (root / f"{file}.gz").is_file() for file in known.files)
