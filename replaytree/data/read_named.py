"""The train split of a data set known by name, as tensors. The test split is not read.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch

from replaytree.data.images import Labelled
from replaytree.errors import DataError
from replaytree.sources.named import DIGITS, NAMED


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
    return Labelled(DIGITS, images_NCHW, torch.from_numpy(values_NV[:, -1].astype(np.int64)))


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
