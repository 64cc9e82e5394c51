"""Images that are already in memory.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from replaytree.data.images import ImageData, Labelled
from replaytree.data.names import as_text
from replaytree.data.split import stratified_split
from replaytree.data.text import TextData
from replaytree.errors import DataError

_CHANNELS = (1, 3)


def from_arrays(
    images: npt.ArrayLike | torch.Tensor,
    labels: npt.ArrayLike | torch.Tensor,
    *,
    classes: Sequence[object] | None = None,
    name: str = "arrays",
    val_fraction: float = 0.1,
    seed: int = 0,
    crop_padding: int | None = None,
    flip: bool = False,
) -> ImageData:
    """ImageData from uint8 images (N, H, W), (N, H, W, C) or (N, C, H, W) and integer labels (N,), 0 to K - 1.

    Channels are taken to come first if only the second dimension is 1 or 3. `classes` names the K classes (default:
    their numbers). A stratified `val_fraction` becomes the validation part. `crop_padding` None means an eighth of the
    shorter side. Images are mirrored in training only with `flip`. Raises DataError for arrays of any other form.
    """
    images_NHWC, labels_N = _channels_last(_array(images, "images")), _array(labels, "labels")
    _require_labels(labels_N, len(images_NHWC))
    # Checked before names are made: a label of a billion would make a billion names.
    present = np.unique(labels_N)
    names = _class_names(range(len(present)) if classes is None else classes)
    if not np.array_equal(present, np.arange(len(names))):
        raise DataError(
            f"labels are {present.tolist()[:10]}; there are {len(names)} classes, so they must be 0 to "
            f"{len(names) - 1}, each at least once: `classes, labels = numpy.unique(labels, return_inverse=True)` "
            f"numbers them"
        )
    if len(names) < 2:
        raise DataError("labels are all 0; there must be at least two classes")
    padding = min(images_NHWC.shape[1:3]) // 8 if crop_padding is None else crop_padding
    if not isinstance(padding, int | np.integer) or padding < 0:
        raise DataError(f"crop_padding is {padding!r}; it must be a whole number from 0, or None")
    if not isinstance(flip, bool | np.bool_):
        raise DataError(f"flip is {flip!r}; it must be True or False")
    whole = Labelled(
        names,
        torch.from_numpy(np.require(images_NHWC.transpose(0, 3, 1, 2), requirements=("C", "W"))),
        torch.from_numpy(labels_N.astype(np.int64)),
    )
    train, val = (
        Labelled(names, whole.images_NCHW[index_N], whole.labels_N[index_N])
        for index_N in stratified_split(whole.labels_N, val_fraction, seed=seed)
    )
    return ImageData.from_parts(name, train=train, val=val, crop_padding=int(padding), flip=bool(flip))


def as_data(data: Any) -> ImageData | TextData:
    """What users pass as data: itself, or ImageData from a pair (images, labels) for from_arrays(); else DataError."""
    if isinstance(data, ImageData | TextData):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        return from_arrays(*data)
    collect = (
        "give the images themselves, as they are before any transform: data=replaytree.from_arrays(numpy.stack("
        "[numpy.asarray(image) for image, _ in dataset]), [label for _, label in dataset])"
    )
    if isinstance(data, DataLoader):
        raise DataError(f"data is a DataLoader, and replaytree makes its own batches; {collect}, of its .dataset")
    if isinstance(data, Dataset):
        raise DataError(f"data is the Dataset {type(data).__name__}, and replaytree augments on its own; {collect}")
    raise DataError(
        f"data is a {type(data).__name__}; it must be replaytree.from_arrays(images, labels), "
        f"replaytree.load_data(...), replaytree.load_text(...), or a pair (images, labels); a folder or the name of a "
        f"data set goes to dataset="
    )


def _array(values: Any, what: str) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError as error:  # images of several sizes
        raise DataError(f"{what} are not an array ({str(error)[:80]}); resize the images to one size") from error


def _require_labels(labels: np.ndarray, count: int) -> None:
    """Raise DataError, with the fix, unless these are `count` whole numbers."""
    form = f"labels are {labels.dtype} {labels.shape}; they must be whole numbers ({count},)"
    if labels.ndim == 2 and labels.shape[0] == count:
        way = "labels.argmax(axis=1)" if labels.shape[1] > 1 else "labels.ravel()"
        raise DataError(f"{form}: `{way}` makes them")
    if labels.shape != (count,):
        raise DataError(f"{form}, one an image")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{form}: `classes, labels = numpy.unique(labels, return_inverse=True)` makes them")


def _channels_last(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) from any of the forms; DataError, with the fix, for others."""
    form = f"images are {images.dtype} {images.shape}; they must be uint8 (N, H, W), (N, H, W, C) or (N, C, H, W)"
    if images.ndim not in (3, 4) or not images.size:
        raise DataError(f"{form}, and at least two of each class")
    if images.dtype != np.uint8:
        raise DataError(f"{form}, 0 to 255{_way_to_bytes(images)}")
    return channels_last(images)


def _way_to_bytes(images: np.ndarray) -> str:
    """How to turn these values into bytes, as the end of a sentence."""
    if images.dtype == bool:
        return ": `images.astype('uint8') * 255` makes them"
    if not np.issubdtype(images.dtype, np.integer) and not np.issubdtype(images.dtype, np.floating):
        return ""
    low, high = images.min(), images.max()
    if not np.isfinite(low) or not np.isfinite(high):
        return ", and these hold values that are not finite"
    if low < 0:
        return f", and these go from {low:g} to {high:g}: undo what normalised them"
    scale = "images * 255" if 0 < high <= 1 else "images" if high <= 255 else f"images * (255 / {high:g})"
    return f": `numpy.rint({scale}).astype('uint8')` makes them"


def channels_last(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) from (N, H, W), (N, H, W, C) or (N, C, H, W); DataError if the channels seem misplaced."""
    if images.ndim == 3:
        return images[..., None]
    _, second, third, last = images.shape
    if second in _CHANNELS and last not in _CHANNELS:
        return images.transpose(0, 2, 3, 1)
    if last not in _CHANNELS and second < min(third, last):
        raise DataError(
            f"images are {images.shape}, which reads as {last} channels; if they are {second} channels of "
            f"{third}x{last} pixels, give `images.transpose(0, 2, 3, 1)`"
        )
    return images


def _class_names(classes: Sequence[object]) -> tuple[str, ...]:
    """The names as text; DataError if two are the same, or if they come in no order."""
    if isinstance(classes, str | bytes):
        raise DataError(f"classes are the text {classes!r}; they must be a list of names")
    if isinstance(classes, Mapping | Set) or not isinstance(classes, Collection):
        raise DataError(
            f"classes are a {type(classes).__name__}; they must be a list of names, the name of class 0 first"
        )
    names = tuple(as_text(str(each)) for each in classes)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"two classes are called {twice[0]!r}; give each its own name")
    return names
