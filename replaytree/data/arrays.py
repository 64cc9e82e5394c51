"""Images that are already in memory.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from replaytree.config.image_size import sides
from replaytree.config.source import ChannelAxis, Resize
from replaytree.data.array_form import as_array, as_bytes, channels_last, range_notes, ranges_of, require_images
from replaytree.data.deep import Range
from replaytree.data.hub import hub_arrays, is_hub
from replaytree.data.images import ImageData, Labelled, SealedImages, Transforms
from replaytree.data.labels import classes_of, label_numbers
from replaytree.data.resize import SQUASH, Sides, resized_images
from replaytree.data.split import stratified_split
from replaytree.data.text import TextData
from replaytree.data.transforms import with_transforms
from replaytree.errors import DataError

Pair = tuple[Any, Any]
"""Images and their labels."""


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """How the arrays of a data set are read: where channels are, and of which size images become."""

    channel_axis: ChannelAxis | None = None
    size: Sides | None = None
    resize: Resize = SQUASH

    def part(
        self, pair: Pair, classes: tuple[str, ...], ranges: Mapping[str, Range], what: str, *, by_name: bool
    ) -> Labelled:
        """Another part than that of training, in the same form; `by_name` where the labels of training are the names.

        Those of another part may be numbers then, in the place of words of digits.
        """
        images_NHWC, labels = self.raw(pair, what)
        labels_N = label_numbers(labels, len(images_NHWC), classes, f"labels of the {what}", by_name=by_name)
        return self._sized(Labelled(classes, torch.from_numpy(as_bytes(images_NHWC, ranges, what)), labels_N))

    def raw(self, pair: Pair, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Arrays (N, H, W, C) and labels, as they were given."""
        images = as_array(pair[0], what)
        require_images(images, what)
        return channels_last(images, self.channel_axis, what=what), as_array(pair[1], f"labels of the {what}")

    def seen(
        self, train: Pair, val: Pair | None, classes: Sequence[object] | None
    ) -> tuple[Labelled, Labelled | None, dict[str, Range], list[str]]:
        """The train part, the validation part, the values that became 0 and 255, and sentences on them."""
        images_NHWC, labels = self.raw(train, "images")
        names = classes_of(labels, len(images_NHWC), classes)
        raw = [images_NHWC]
        if val is not None:
            raw.append(self.raw(val, "validation images")[0])
            _require_shape(raw[1], images_NHWC, "validation images")
        ranges = ranges_of(raw)
        images_NCHW = as_bytes(images_NHWC, ranges)
        notes = range_notes(images_NHWC.dtype, ranges, images_NCHW)
        first = Labelled(names, torch.from_numpy(images_NCHW), label_numbers(labels, len(images_NHWC), names))
        by_name = classes is None
        other = None if val is None else self.part(val, names, ranges, "validation images", by_name=by_name)
        return self._sized(first), other, ranges, notes

    def _sized(self, part: Labelled) -> Labelled:
        if self.size is None:
            return part
        return replace(part, images_NCHW=resized_images(part.images_NCHW, self.size, self.resize))


def from_arrays(
    images: Any,
    labels: npt.ArrayLike | torch.Tensor | None = None,
    *,
    classes: Sequence[object] | None = None,
    val: Pair | None = None,
    test: Pair | None = None,
    name: str | None = None,
    channel_axis: ChannelAxis | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    resize: Resize = SQUASH,
    val_fraction: float = 0.1,
    seed: int = 0,
    crop_padding: int | None = None,
    flip: bool = False,
    transforms: Transforms | None = None,
) -> ImageData:
    """ImageData from images (N, H, W), (N, H, W, C) or (N, C, H, W) and labels (N,), 0 to K - 1 or words.

    Channels are where one of the two ends is 1 or 3, or at most half of the rest; `channel_axis` 'first' or 'last'
    says it where that is not clear. Bytes are taken as they are; other numbers become 0 to 255 by one range for all
    images (one a channel, where there are neither 1 nor 3), which `notes` state and a model remembers. `classes` names
    the K classes (default: their numbers, or the words).

    `val` and `test` are further pairs (images, labels). Without `val`, a stratified `val_fraction` validates. `test` is
    kept closed until a retraining measures its model. In place of images and labels, a data set of Hugging Face's
    `datasets`, or a dictionary of its splits train, validation and test, brings all of these.

    `image_size` and `resize` are as for load_data(). `crop_padding` None means an eighth of the shorter side. Images
    are mirrored in training only with `flip`. `transforms`, as torchvision's v2 has them, make a uint8 batch
    (n, c, h, w) of one, in training only and behind everything else; those of torchvision draw once a batch. Raises
    DataError for arrays of any other form.
    """
    form = ArrayForm(channel_axis, None if image_size is None else sides(image_size), resize)
    more: tuple[str, ...] = ()
    if labels is None and is_hub(images):
        if val is not None or test is not None:
            raise DataError("a data set brings its own splits; give val and test as a dictionary of splits")
        found = hub_arrays(images, size=form.size, resize=resize)
        (images, labels), val, test = found.parts["train"], found.parts.get("val"), found.parts.get("test")
        classes, name, more = classes or found.classes, name or found.name, found.notes
    train, own_val, ranges, notes = form.seen((images, labels), None if val is None else _pair(val, "val"), classes)
    padding = min(train.images_NCHW.shape[2:]) // 8 if crop_padding is None else crop_padding
    if not isinstance(padding, int | np.integer) or padding < 0:
        raise DataError(f"crop_padding is {padding!r}; it must be a whole number from 0, or None")
    if not isinstance(flip, bool | np.bool_):
        raise DataError(f"flip is {flip!r}; it must be True or False")
    if own_val is None:
        train, own_val = (
            Labelled(train.classes, train.images_NCHW[index_N], train.labels_N[index_N])
            for index_N in stratified_split(train.labels_N, val_fraction, seed=seed)
        )
    data = ImageData.from_parts(name or "arrays", train=train, val=own_val, crop_padding=int(padding), flip=bool(flip))
    data = replace(data, ranges=ranges, notes=(*more, *notes), resize=resize)
    if transforms is not None:
        data = with_transforms(data, transforms)
    if test is None:
        return data
    part = later_part(data, _pair(test, "test"), form, "test images", by_name=classes is None)
    return replace(data, test=SealedImages(part))


def later_part(data: ImageData, pair: Pair, form: ArrayForm, what: str, *, by_name: bool) -> Labelled:
    """A part that is read after `data`, in the form in which these were; DataError where it is of another shape."""
    part = form.part(pair, data.classes, data.ranges, what, by_name=by_name)
    if tuple(part.images_NCHW.shape[1:]) != data.image_shape:
        raise _of_another_shape(part.images_NCHW.shape[1:], data.image_shape, what)
    return part


def as_data(data: Any) -> ImageData | TextData:
    """What users pass as data: itself, or ImageData of what from_arrays() takes alone; else DataError."""
    if isinstance(data, ImageData | TextData):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        return from_arrays(*data)
    if is_hub(data):
        return from_arrays(data)
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


def _pair(given: Any, what: str) -> Pair:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(f"{what} is a {type(given).__name__}; it must be a pair (images, labels)")
    return given[0], given[1]


def _require_shape(images_NHWC: np.ndarray, train_NHWC: np.ndarray, what: str) -> None:
    if images_NHWC.shape[1:] != train_NHWC.shape[1:]:
        found, wanted = ((*shape[2:], *shape[:2]) for shape in (images_NHWC.shape[1:], train_NHWC.shape[1:]))
        raise _of_another_shape(found, wanted, what)


def _of_another_shape(found: Sequence[int], wanted: Sequence[int], what: str) -> DataError:
    shown = ["x".join(map(str, shape)) for shape in (found, wanted)]
    return DataError(
        f"{what} are {shown[0]} (channels x rows x columns), and the training images {shown[1]}; give both one form"
    )
