"""Data sets of Hugging Face's `datasets`, known by their form: that package is neither needed nor imported.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from replaytree.config.source import Resize
from replaytree.data.array_form import as_array
from replaytree.data.decode import plain_picture
from replaytree.data.deep import grey_values
from replaytree.data.resize import Sides, resized_picture
from replaytree.errors import DataError
from replaytree.sources.names import as_text, some

_SPLITS = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
_IMAGES = ("image", "img", "images", "pixel_values")
_LABELS = ("label", "labels")


@dataclass(frozen=True, slots=True)
class HubArrays:
    """The parts of a data set as pairs (images, labels), the names of the classes if it states them, and sentences."""

    name: str
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]]
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def is_hub(given: object) -> bool:
    """Whether this is a data set of that package, or a dictionary of its splits."""
    if isinstance(given, Mapping):
        return bool(given) and all(_is_split(each) for each in given.values())
    return _is_split(given)


def hub_arrays(given: Any, *, size: Sides | None, resize: Resize) -> HubArrays:
    """The arrays of a data set, or of its splits; pictures become `size`. DataError for what has another form."""
    splits: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"train": given}
    words = {part: next((word for word in words if word in splits), None) for part, words in _SPLITS.items()}
    if words["train"] is None:
        if len(splits) != 1:
            raise DataError(f"the data set has the splits {some(sorted(map(str, splits)))}, and none is called train")
        words["train"] = next(iter(splits))
    train = splits[words["train"] or "train"]
    image, label = _columns(train)
    parts, notes = {}, []
    for part, word in words.items():
        if word is None:
            continue
        split = splits[word]
        labels = as_array([row[label] for row in _rows(split, label)], "labels")
        if part != "train" and np.issubdtype(labels.dtype, np.integer) and len(labels) and (labels == -1).all():
            notes.append(f"the {word} split has no labels, and is not used")
            continue
        parts[part] = (_images(split, image, size=size, resize=resize), labels)
    if unused := sorted(set(splits) - set(words.values())):
        notes.append(f"not used: the split {some(unused)}")
    names = getattr(train.features[label], "names", None)
    name = getattr(getattr(train, "info", None), "dataset_name", None) or "dataset"
    return HubArrays(as_text(str(name)), parts, None if names is None else tuple(names), tuple(notes))


def _is_split(given: object) -> bool:
    form = ("features", "column_names", "__getitem__")
    return isinstance(getattr(given, "features", None), Mapping) and all(hasattr(given, name) for name in form)


def _columns(split: Any) -> tuple[str, str]:
    """The columns of images and labels: by their types, else by their names."""
    if not hasattr(split, "__len__"):
        raise DataError("the data set is streamed; load it whole, without streaming=True")
    found: list[str] = []
    for what, kind, names in (("images", "Image", _IMAGES), ("labels", "ClassLabel", _LABELS)):
        columns = [name for name, feature in split.features.items() if type(feature).__name__ == kind]
        named = [name for name in names if name in (columns or split.features)]
        chosen = named[:1] or columns
        if len(chosen) != 1:
            have = f"several columns of {what}: {some(columns)}" if columns else f"no column of {what}"
            raise DataError(
                f"the data set has {have}; it has {some(list(split.features))}: call the one that is meant {names[0]}, "
                f"with dataset.rename_column(...)"
            )
        found += chosen
    return found[0], found[1]


def _images(split: Any, column: str, *, size: Sides | None, resize: Resize) -> np.ndarray:
    """All images of a split in one array."""
    images: list[np.ndarray] = []
    grey, deep = True, False
    for row in _rows(split, column):
        values = row[column]
        if isinstance(values, Image.Image):
            wide = grey_values(values)
            picture = None if wide is not None else plain_picture(values)
            if picture is not None and size is not None:
                picture = resized_picture(picture, size, resize)
            images.append(np.asarray(picture) if wide is None else wide.values)
            deep = deep or wide is not None
        else:
            images.append(as_array(values, "images"))
        grey = grey and images[-1].ndim == 2
    shapes = {image.shape[:2] if not grey else image.shape for image in images}
    if len({image.dtype for image in images}) > 1:
        raise DataError("pictures of 8 and of more bits are in one split; store all alike")
    if len(shapes) > 1:
        sizes = sorted("x".join(map(str, shape[:2])) for shape in shapes)
        way = "resize them first" if deep else "give image_size=32, or another size"
        raise DataError(f"images have several sizes, {some(sizes, 3)} pixels; {way}")
    if not grey:
        images = [np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image for image in images]
    try:
        return np.stack(images)
    except ValueError as error:
        raise DataError(f"images differ in form ({str(error)[:80]}); make them alike first") from error


def _rows(split: Any, column: str) -> Any:
    """The rows with this column alone where that can be had: else pictures would be decoded for their labels."""
    select = getattr(split, "select_columns", None)
    return split if select is None else select([column])
