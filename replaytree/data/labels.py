"""Labels of images in memory: whole numbers or words, and the names of their classes.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set

import numpy as np
import torch

from replaytree.errors import DataError
from replaytree.sources.names import as_text, some


def classes_of(labels: np.ndarray, count: int, classes: Sequence[object] | None) -> tuple[str, ...]:
    """The names of the classes of `count` training images: `classes`, or the words or numbers that the labels are.

    DataError, with the fix, unless there are at least two, and each is the label of an image.
    """
    labels = _flat(labels, count)
    if labels.dtype.kind in "US" and classes is None:
        names = _class_names(sorted({_word(each) for each in labels.tolist()}))
    else:
        # Checked before names are made: a label of a billion would make a billion names.
        present = np.unique(labels)
        names = _class_names(range(len(present)) if classes is None else classes)
        if labels.dtype.kind in "US":
            require_known(labels, names)
            if lacking := sorted(set(names) - {_word(each) for each in present.tolist()}):
                raise DataError(f"no label is {some(lacking)}; leave such classes out")
        elif not np.array_equal(present, np.arange(len(names))):
            raise DataError(
                f"labels are {present.tolist()[:10]}; there are {len(names)} classes, so they must be 0 to "
                f"{len(names) - 1}, each at least once: `classes, labels = numpy.unique(labels, return_inverse=True)` "
                f"numbers them"
            )
    if len(names) < 2:
        raise DataError(f"labels are all {names[0]}; there must be at least two classes")
    return names


def label_numbers(
    labels: np.ndarray, count: int, classes: Sequence[str], what: str = "labels", *, by_name: bool = False
) -> torch.Tensor:
    """Labels as int64 (N,), indices of `classes`; DataError for another number of them, and for unknown ones.

    Whole numbers are indices, and with `by_name` names: 1 is the class called '1', wherever that stands.
    """
    labels = _flat(labels, count, what)
    if labels.dtype.kind in "US" or by_name:
        require_known(labels, classes, what)
        index = {name: number for number, name in enumerate(classes)}
        return torch.tensor([index[_word(each)] for each in labels.tolist()], dtype=torch.int64)
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise DataError(
            f"{what} go from {labels.min()} to {labels.max()}, and those of the training images are 0 to "
            f"{len(classes) - 1}"
        )
    return torch.from_numpy(labels.astype(np.int64))


def require_known(labels: np.ndarray, classes: Sequence[str], what: str = "labels") -> None:
    """DataError, naming them, for words that no class has."""
    if unknown := sorted({_word(each) for each in labels.tolist()} - set(classes)):
        raise DataError(f"{what} name classes that the training images do not have: {some(unknown)}")


def _flat(labels: np.ndarray, count: int, what: str = "labels") -> np.ndarray:
    """`count` whole numbers or words (N,), also from (N, 1); DataError, with the fix, for others."""
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    form = f"{what} are {labels.dtype} {labels.shape}; they must be whole numbers ({count},)"
    if labels.ndim == 2 and labels.shape[0] == count:
        raise DataError(f"{form}: `labels.argmax(axis=1)` makes them")
    if labels.shape != (count,):
        raise DataError(f"{form}, one an image")
    if not np.issubdtype(labels.dtype, np.integer) and labels.dtype.kind not in "US":
        raise DataError(f"{form}: `classes, labels = numpy.unique(labels, return_inverse=True)` makes them")
    return labels


def _word(label: object) -> str:
    return as_text(label.decode("utf-8", "backslashreplace") if isinstance(label, bytes) else str(label))


def _class_names(classes: Sequence[object]) -> tuple[str, ...]:
    """The names as text; DataError if two are the same, or if they come in no order."""
    if isinstance(classes, str | bytes):
        raise DataError(f"classes are the text {classes!r}; they must be a list of names")
    if isinstance(classes, Mapping | Set) or not isinstance(classes, Collection):
        raise DataError(
            f"classes are a {type(classes).__name__}; they must be a list of names, the name of class 0 first"
        )
    names = tuple(_word(each) for each in classes)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"two classes are called {twice[0]!r}; give each its own name")
    return names
