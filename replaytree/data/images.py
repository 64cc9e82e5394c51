"""What a search sees of a data set: its train and validation images, and their fingerprint.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from replaytree.config.source import Resize
from replaytree.data.deep import Range
from replaytree.errors import DataError
from replaytree.records import Shape

Transforms = Callable[[torch.Tensor], Any]
"""A function of one's own, from a batch of training images to one of the same form."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images and their labels, before the split: uint8 (N, C, H, W) and int64 (N,), labels indexing `classes`."""

    classes: tuple[str, ...]
    images_NCHW: torch.Tensor
    labels_N: torch.Tensor


class SealedImages:
    """Test images that lie in memory beside the others. Only deliver/test_split.py opens them."""

    __slots__ = ("_part",)

    def __init__(self, part: Labelled) -> None:
        self._part = part

    def __len__(self) -> int:
        return len(self._part.labels_N)

    def __repr__(self) -> str:
        """How many there are, and nothing else."""
        return f"SealedImages({len(self)})"

    def unsealed(self) -> Labelled:
        """The images."""
        return self._part


@dataclass(frozen=True, slots=True)
class SourceImages:
    """What a folder or a file holds: its train part, its own validation part if it has one, and the skipped files.

    For `ranges` see ImageData. `notes` are sentences on what was taken for what, and on what was left out.
    """

    train: Labelled
    val: Labelled | None
    skipped: tuple[str, ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identifies a data set. `sha256` is over the bytes of train and validation images and labels.

    `transforms` describes those of the user's own; None: there are none.
    """

    sha256: str
    train_count: int
    val_count: int
    classes: tuple[str, ...]
    train_counts: tuple[int, ...]
    image_shape: Shape
    transforms: str | None = None

    def to_json(self) -> str:
        """The fingerprint as a JSON object, keys sorted; without transforms it is as it was before there were any."""
        values = asdict(self)
        if self.transforms is None:
            del values["transforms"]
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ImageData:
    """The train and validation parts of a data set in memory.

    `mean` and `std` are per channel, fractions of 255, of the train part. `crop_padding` and `flip` are the
    augmentation this data set is usually trained with. `skipped` names the unreadable files that were left out.
    `ranges` are the values that became 0 and 255 in pictures of more than 8 bits, by kind, and `resize` is the way in
    which pictures of another shape were made to fit. `notes` are sentences on what was taken for which part. `test` are
    test images in memory, closed; those of files stay on disk. `transforms` are the user's own, for training.
    """

    name: str
    classes: tuple[str, ...]
    train_images: torch.Tensor
    train_labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool
    fingerprint: Fingerprint
    skipped: tuple[str, ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    resize: Resize = "squash"
    test: SealedImages | None = None
    transforms: Transforms | None = None

    @classmethod
    def from_parts(
        cls, name: str, *, train: Labelled, val: Labelled, crop_padding: int, flip: bool, skipped: tuple[str, ...] = ()
    ) -> ImageData:
        """From a train and a validation part; statistics and fingerprint are computed here."""
        for part in (train, val):
            _check(part, name)
        if train.classes != val.classes or train.images_NCHW.shape[1:] != val.images_NCHW.shape[1:]:
            raise DataError(
                f"the parts of {name} differ in classes or image shape; make them with one call of load_data()"
            )
        mean, std = channel_statistics(train.images_NCHW)
        return cls(
            name=name,
            classes=train.classes,
            train_images=train.images_NCHW,
            train_labels=train.labels_N,
            val_images=val.images_NCHW,
            val_labels=val.labels_N,
            mean=mean,
            std=std,
            crop_padding=crop_padding,
            flip=flip,
            fingerprint=_fingerprint(train, val),
            skipped=skipped,
        )

    def __repr__(self) -> str:
        """Name, counts, shape and classes, without the pixels."""
        shape = "x".join(map(str, self.image_shape))
        counts = f"{len(self.train_labels)} train and {len(self.val_labels)} validation images of {shape}"
        return f"ImageData({self.name!r}, {counts}, {self.num_classes} classes)"

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def image_shape(self) -> Shape:
        """(C, H, W) of every image."""
        return self.fingerprint.image_shape

    @property
    def input_shape(self) -> Shape:
        """What a network reads at once: an image."""
        return self.image_shape

    @property
    def train_count(self) -> int:
        """Images that are trained on."""
        return len(self.train_labels)

    @property
    def val_count(self) -> int:
        """Images that validate."""
        return len(self.val_labels)

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.train_images.device

    @property
    def nbytes(self) -> int:
        """Bytes of all images and labels."""
        parts = (self.train_images, self.train_labels, self.val_images, self.val_labels)
        return sum(tensor.nbytes for tensor in parts)

    def without_test(self) -> ImageData:
        """What a search is given of it: nothing of the test part."""
        return replace(self, test=None)

    def first(self, train: int, *, validation: int) -> ImageData:
        """The first images of both parts; the fingerprint stays that of all."""
        return replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            val_images=self.val_images[:validation],
            val_labels=self.val_labels[:validation],
        )

    def to(self, device: torch.device | str) -> ImageData:
        """A copy with its tensors on the device."""
        return replace(
            self,
            train_images=self.train_images.to(device),
            train_labels=self.train_labels.to(device),
            val_images=self.val_images.to(device),
            val_labels=self.val_labels.to(device),
        )


def channel_statistics(images_NCHW: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of each channel, as fractions of 255.

    Exact, from a histogram of the 256 values: a float copy of 50,000 CIFAR-10 images would take 0.6 GB. A channel
    with a single value gets a deviation of 1, so that dividing by it works.
    """
    values_256 = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in range(images_NCHW.shape[1]):
        counts_256 = torch.bincount(images_NCHW[:, channel].flatten().cpu(), minlength=256).double()
        weights_256 = counts_256 / counts_256.sum()
        mean = float((weights_256 * values_256).sum())
        std = float((weights_256 * (values_256 - mean) ** 2).sum().sqrt())
        means.append(mean)
        stds.append(std if int((counts_256 > 0).sum()) > 1 else 1.0)
    return tuple(means), tuple(stds)


def _check(part: Labelled, name: str) -> None:
    images, labels = part.images_NCHW, part.labels_N
    if images.ndim != 4 or images.dtype != torch.uint8:
        raise DataError(f"images of {name} are {images.dtype} {tuple(images.shape)}; they must be uint8 (N, C, H, W)")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise DataError(
            f"labels of {name} are {labels.dtype} {tuple(labels.shape)}; they must be int64 ({images.shape[0]},)"
        )
    if not len(labels):
        raise DataError(f"a part of {name} holds no images; give every class at least two")


def _fingerprint(train: Labelled, val: Labelled) -> Fingerprint:
    digest = hashlib.sha256()
    for tensor in (train.images_NCHW, train.labels_N, val.images_NCHW, val.labels_N):
        digest.update(tensor.contiguous().cpu().numpy().data.cast("B"))
    counts = torch.bincount(train.labels_N.cpu(), minlength=len(train.classes))
    channels, height, width = train.images_NCHW.shape[1:]
    return Fingerprint(
        sha256=digest.hexdigest(),
        train_count=len(train.labels_N),
        val_count=len(val.labels_N),
        classes=train.classes,
        train_counts=tuple(int(count) for count in counts),
        image_shape=(channels, height, width),
    )
