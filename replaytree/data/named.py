"""The data sets known by name: where their files are, and their train split as tensors. The test split is not read.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from replaytree.data.cache import cache_folder
from replaytree.data.images import Labelled
from replaytree.errors import DataError

_DIGITS = tuple("0123456789")
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
    "digits": NamedDataSet(side=8, crop_padding=1, flip=False, classes=_DIGITS),
    "mnist": NamedDataSet(
        side=28,
        crop_padding=2,
        flip=False,
        reader="MNIST",
        files=tuple(f"MNIST/raw/{file}" for file in _MNIST_FILES),
        classes=_DIGITS,
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
        side=32, crop_padding=4, flip=False, reader="SVHN", files=("train_32x32.mat",), classes=_DIGITS
    ),
}


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


def read_named(name: str, root: Path) -> Labelled:
    """The train split of a named data set, from torchvision's files under `root`, downloaded if missing."""
    known = NAMED[name]
    if known.reader is None:
        return _read_digits()
    dataset = _open(name, root)
    return labelled(name, dataset, known.classes or tuple(dataset.classes))


def labelled(name: str, dataset: Any, classes: tuple[str, ...]) -> Labelled:
    """A split of a named data set as tensors, from torchvision's data set of it."""
    images = torch.as_tensor(dataset.data)
    labels = dataset.labels if name == "svhn" else dataset.targets
    if images.ndim == 3:
        images_NCHW = images[:, None]
    elif images.shape[1] == 3:
        images_NCHW = images
    else:
        images_NCHW = images.permute(0, 3, 1, 2)
    return Labelled(classes, images_NCHW.contiguous(), torch.as_tensor(np.asarray(labels), dtype=torch.int64))


def digits_to_bytes(values: np.ndarray) -> np.ndarray:
    """Grey values 0..16 -> uint8 0..255, rounded."""
    return np.rint(values * (255 / 16)).astype(np.uint8)


def _read_digits() -> Labelled:
    values_NV = _digits_file()
    images_NCHW = torch.from_numpy(digits_to_bytes(values_NV[:, :-1].reshape(-1, 1, 8, 8)))
    return Labelled(_DIGITS, images_NCHW, torch.from_numpy(values_NV[:, -1].astype(np.int64)))


def _digits_file() -> np.ndarray:
    """Rows of 64 grey values and the digit, from the file of scikit-learn, whose import takes 40 times as long."""
    package = importlib.util.find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            with gzip.open(file, "rt") as rows:
                return np.loadtxt(rows, delimiter=",")
    # Another layout of the package.
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def _open(name: str, root: Path) -> Any:
    known = NAMED[name]
    train: dict[str, Any] = {"split": "train"} if name == "svhn" else {"train": True}
    complete = all((root / file).is_file() for file in known.files)
    try:
        return known.read(root, download=not complete, **train)
    except (OSError, RuntimeError, ValueError, AssertionError, EOFError, IndexError) as error:
        if complete:
            raise DataError(
                f"the files of {name} under {root} are damaged ({error}); delete them and copy them again: "
                f"{', '.join(known.files)}"
            ) from error
        archive = f" or {known.archive}" if known.archive else ""
        raise DataError(
            f"{name} is not under {root}, and its download failed ({error}). Looked there for {name}/train/<class>/* "
            f"and for {', '.join(known.files)}{archive}. Copy the files there, or say where they are with --data-dir "
            f"or REPLAYTREE_DATA"
        ) from error


def _is_here(name: str, root: Path) -> bool:
    known = NAMED[name]
    if tree_of(name, root) is not None:
        return True
    if known.reader is None:
        return importlib.util.find_spec("sklearn") is not None
    if known.archive is not None and (root / known.archive).is_file():
        return True
    return all((root / file).is_file() or (root / f"{file}.gz").is_file() for file in known.files)
