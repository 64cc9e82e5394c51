"""Images that are in memory already.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from replaytree.data.images import ImageData, Labelled
from replaytree.data.split import stratified_split
from replaytree.errors import DataError


def from_arrays(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    val_fraction: float = 0.1,
    seed: int = 0,
    crop_padding: int | None = None,
    flip: bool = False,
) -> ImageData:
    """ImageData from uint8 images (N, H, W) or (N, H, W, C) and integer labels (N,), 0 to K - 1.

    `classes` names the K classes (default: their numbers). A stratified `val_fraction` becomes the validation part.
    `crop_padding` is an eighth of the shorter side where it is None. Raises DataError for arrays of another form.
    """
    images_NHWC, labels_N = np.asarray(images), np.asarray(labels)
    if images_NHWC.ndim == 3:
        images_NHWC = images_NHWC[..., None]
    if images_NHWC.ndim != 4 or images_NHWC.dtype != np.uint8:
        raise DataError(
            f"images are {images_NHWC.dtype} {np.shape(images)}; they must be uint8 (N, H, W) or (N, H, W, C), 0 to 255"
        )
    if labels_N.shape != images_NHWC.shape[:1] or not np.issubdtype(labels_N.dtype, np.integer):
        raise DataError(
            f"labels are {labels_N.dtype} {labels_N.shape}; they must be whole numbers ({len(images_NHWC)},)"
        )
    present = np.unique(labels_N)
    names = tuple(str(k) for k in range(int(present.max(initial=0)) + 1)) if classes is None else tuple(classes)
    if not np.array_equal(present, np.arange(len(names))):
        raise DataError(f"labels are {present.tolist()[:10]}; every class from 0 to {len(names) - 1} must be there")
    whole = Labelled(
        names,
        torch.from_numpy(np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2))),
        torch.from_numpy(labels_N.astype(np.int64)),
    )
    train, val = (
        Labelled(names, whole.images_NCHW[index_N], whole.labels_N[index_N])
        for index_N in stratified_split(whole.labels_N, val_fraction, seed=seed)
    )
    padding = min(images_NHWC.shape[1:3]) // 8 if crop_padding is None else crop_padding
    return ImageData.from_parts(name, train=train, val=val, crop_padding=padding, flip=flip)
