"""Data sets of arrays in files: one .npz, or .npy files side by side, with the names that Keras and MedMNIST use.

A part is read when it is asked for, and nothing of the others: the test part is for deliver/test_split.py alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from replaytree.data.arrays import ArrayForm, Pair, later_part
from replaytree.data.images import ImageData, Labelled, SourceImages
from replaytree.data.twins import twin_notes
from replaytree.errors import DataError
from replaytree.sources.names import as_text, count_of, some

ARRAYS, ARRAY = ".npz", ".npy"
_WORDS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
# Images and labels: of Keras, of the unseen-data challenge, of MedMNIST.
_SCHEMES = (("x_{}", "y_{}"), ("{}_x", "{}_y"), ("{}_images", "{}_labels"), ("{}_data", "{}_labels"))
_UNSPLIT = (("images", "labels"), ("x", "y"), ("X", "y"), ("data", "labels"))
_CLASSES = ("classes", "class_names")


def holds_arrays(path: Path) -> bool:
    """Whether a path is a .npz or .npy file, or a folder of .npy files with a train part."""
    if path.is_file():
        return path.suffix.lower() in (ARRAYS, ARRAY)
    return path.is_dir() and "train" in _parts({file.stem for file in path.glob(f"*{ARRAY}")})


def array_parts(path: Path) -> set[str]:
    """Which of `train`, `val` and `test` a data set of arrays has. Looks at names only."""
    return set(_parts(_Arrays(path).names))


def read_arrays(path: Path, form: ArrayForm) -> SourceImages:
    """The train part, and the validation part if there is one; DataError where they cannot be used."""
    arrays = _Arrays(path)
    parts = _parts(arrays.names)
    if "train" not in parts:
        raise DataError(
            f"{as_text(path)} has {some(sorted(map(as_text, arrays.names))) or 'no arrays'}, and no images with labels "
            f"under names known here: call them x_train and y_train (and x_val, y_val, x_test, y_test)"
        )
    named = next((arrays.read(name).tolist() for name in _CLASSES if name in arrays.names), None)
    try:
        train, val, ranges, notes = form.seen(
            arrays.pair(*parts["train"]), arrays.pair(*parts["val"]) if "val" in parts else None, named
        )
    except DataError as error:
        raise DataError(f"{as_text(path)}: {error}") from error
    channels, rows, columns = train.images_NCHW.shape[1:]
    taken = [
        f"{' and '.join(names)} as {part}" for part, names in sorted(parts.items(), key=lambda each: each[0] != "train")
    ]
    opening = (
        f"{as_text(path.name)}: {', '.join(taken)}{' (not read before a retraining)' * ('test' in parts)}; images of "
    )
    used = {name for pair in parts.values() for name in pair} | set(_CLASSES)
    unused = sorted(map(as_text, arrays.names - used))
    left = [f"not used: {some(unused)}"] if unused else []
    form_text = f"{count_of(channels, 'channel')}, {rows} rows, {columns} columns"
    return SourceImages(train, val, (), ranges, (f"{opening}{form_text}", *left, *notes, *_twins(train, val)))


def _twins(train: Labelled, val: Labelled | None) -> list[str]:
    """Sentences on images that are there more than once, by their numbers."""
    parts = [("train", train)] + ([] if val is None else [("validation", val)])
    return twin_notes(
        [(name, part, [f"image {number} of {name}" for number in range(len(part.labels_N))]) for name, part in parts]
    )


def read_array_part(path: Path, part: str, *, form: ArrayForm, data: ImageData) -> Labelled:
    """Another part, in the form of the train part, of which `data` were made."""
    arrays = _Arrays(path)
    pair, by_name = arrays.pair(*_parts(arrays.names)[part]), not arrays.names & set(_CLASSES)
    try:
        return later_part(data, pair, form, f"{part} images", by_name=by_name)
    except DataError as error:
        raise DataError(f"{as_text(path)}: {error}") from error


def image_arrays(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of images of a .npy or .npz file, each with the name of its place, as data.npz or data.npz:x_test.

    In a .npz they are found by their names, as those of data sets, or it is the one array of 3 or 4 dimensions.
    DataError where there are none, or they cannot be read.
    """
    arrays = _Arrays(file)
    if file.suffix.lower() == ARRAY:
        yield file.name, arrays.read(file.stem)
        return
    words = [word for words in _WORDS.values() for word in words]
    known = [scheme[0].format(word) for word in words for scheme in _SCHEMES] + [images for images, _ in _UNSPLIT]
    names = [name for name in dict.fromkeys(known) if name in arrays.names]
    if not names:
        names = [name for name in sorted(arrays.names) if arrays.dimensions(name) in (3, 4)]
        if len(names) != 1:
            raise DataError(
                f"{as_text(file)} has {some(sorted(map(as_text, arrays.names))) or 'no arrays'}, of which "
                f"{'none has' if not names else 'several have'} the form of images; call them images"
            )
    for name in names:
        yield file.name if len(names) == 1 else f"{file.name}:{as_text(name)}", arrays.read(name)


class _Arrays:
    """The arrays of a .npz file, or of the .npy files of a folder, by name."""

    def __init__(self, path: Path) -> None:
        self._path = path if path.suffix.lower() == ARRAYS or path.is_dir() else path.parent
        if self._path.is_dir():
            self.names = {file.stem for file in self._path.glob(f"*{ARRAY}")}
            return
        try:
            with zipfile.ZipFile(path) as packed:
                self.names = {name.removesuffix(ARRAY) for name in packed.namelist()}
        except (OSError, zipfile.BadZipFile) as error:
            raise self._unreadable(path.name, error) from error

    def pair(self, images: str, labels: str) -> Pair:
        return self.read(images), self.read(labels)

    def dimensions(self, name: str) -> int:
        """How many an array has; 0 of what is no array of numbers."""
        try:
            return self.read(name).ndim
        except DataError:
            return 0

    def read(self, name: str) -> np.ndarray:
        found: np.ndarray
        try:
            if self._path.is_dir():
                found = np.load(self._path / f"{name}{ARRAY}", allow_pickle=False)
            else:
                with np.load(self._path, allow_pickle=False) as arrays:
                    found = arrays[name]
        # zipfile raises RuntimeErrors for a password and for compression that it does not know.
        except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
            raise self._unreadable(name, error) from error
        return found

    def _unreadable(self, name: str, error: Exception) -> DataError:
        reason = "it holds Python objects, not numbers" if "allow_pickle" in str(error) else str(error)[:80]
        return DataError(
            f"{as_text(name)} of {as_text(self._path)} cannot be read ({reason}); save it again with NumPy"
        )


def _parts(names: set[str]) -> dict[str, tuple[str, str]]:
    """The names of images and labels by part; those without a part are the train part where nothing else is."""
    found = {}
    for part, words in _WORDS.items():
        pairs = [tuple(each.format(word) for each in scheme) for word in words for scheme in _SCHEMES]
        if both := next(((images, labels) for images, labels in pairs if {images, labels} <= names), None):
            found[part] = both
    if "train" not in found and (both := next((each for each in _UNSPLIT if set(each) <= names), None)):
        found["train"] = both
    return found
