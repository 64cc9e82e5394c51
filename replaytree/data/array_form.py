"""Arrays of any form as bytes (N, C, H, W): where their channels are, and how other numbers become 0 to 255.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from replaytree.config.source import ChannelAxis
from replaytree.data.deep import Range, in_range, known_range, range_of
from replaytree.errors import DataError
from replaytree.records import Shape

# Pictures are grey or of three colours; every other number of channels is of sensors, each with a scale of its own.
_PICTURES = (1, 3)
_CHUNK = 4096
# Below this many of the 256 steps for 98 % of the values, a note says so.
_FEW_STEPS = 32


def as_array(values: Any, what: str) -> np.ndarray:
    """An array from what can be one; DataError for images of several sizes."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError as error:  # images of several sizes
        raise DataError(f"{what} are not an array ({str(error)[:80]}); resize the images to one size") from error


def as_many(images: np.ndarray, shape: Shape) -> np.ndarray:
    """Arrays as they are; one image alone that fits `shape` (C, H, W) gets a first axis.

    One image is (H, W), (H, W, C) or (C, H, W). DataError where that of colours may also be three grey images.
    """
    channels, sides = shape[0], shape[1:]
    if images.shape == shape and channels not in _PICTURES:
        return images[None]
    if images.shape == shape and channels > 1:
        one, many = (1, *shape), (*shape, 1)
        raise DataError(
            f"images of the shape {shape} may be one image or {channels} grey ones: give {one} for one, images[None], "
            f"or {many} for {channels}, images[..., None]"
        )
    depths = {channels, *(_PICTURES if channels in _PICTURES else ())}
    is_one = images.shape == sides or (images.shape[:-1] == sides and images.shape[-1] in depths)
    return images[None] if is_one and images.shape[1:] != sides else images


def channels_last(
    images: np.ndarray, axis: ChannelAxis | None = None, *, shape: Shape | None = None, what: str = "images"
) -> np.ndarray:
    """(N, H, W, C) from (N, H, W), (N, H, W, C) or (N, C, H, W).

    `shape`, (C, H, W), of which they are to be, says where they are where only one of the two ends fits it, else `axis`
    does. Without both they are where only one of the two ends is 1 or 3, or else at most half of the other two.
    DataError where that tells nothing.
    """
    if images.ndim == 3:
        return images[..., None]
    _, second, third, last = images.shape
    # Of single pixels both ends are the same.
    fits: list[ChannelAxis] = ["last"] if second == third == last == 1 else []
    if shape is not None and not fits:
        ends: dict[ChannelAxis, tuple[int, int]] = {"first": (third, last), "last": (second, third)}
        fits = [end for end, sides in ends.items() if sides == shape[1:]]
    if len(fits) == 1:
        axis = fits[0]
    if axis is None:
        # Those of another size are refused for it by whoever asked for this shape.
        axis = _place_of_channels(second, third, last) or ("last" if shape is not None and not fits else None)
    if axis is None:
        way = "say which with --channel-axis first or last (in Python channel_axis='first' or 'last')"
        if shape is not None:
            way = "give a uint8 tensor of torch (N, C, H, W), which is taken as it is"
        raise DataError(
            f"{what} are {images.shape}, and either {second} or {last} may be the number of channels; {way}"
        )
    return images.transpose(0, 2, 3, 1) if axis == "first" else images


def _place_of_channels(second: int, third: int, last: int) -> ChannelAxis | None:
    is_first, is_last = second in _PICTURES, last in _PICTURES
    if not is_first and not is_last:
        is_first, is_last = 2 * second <= min(third, last), 2 * last <= min(second, third)
    if is_first == is_last:
        return None
    return "first" if is_first else "last"


def require_images(images: np.ndarray, what: str = "images") -> None:
    """DataError, with the fix, unless these are images of numbers that can become bytes."""
    form = f"{what} are {images.dtype} {images.shape}; they must be (N, H, W), (N, H, W, C) or (N, C, H, W)"
    if images.ndim not in (3, 4) or not images.size:
        raise DataError(f"{form}, and at least two of each class")
    if images.dtype == bool:
        raise DataError(f"{form} of numbers: `images.astype('uint8') * 255` makes them")
    if not np.issubdtype(images.dtype, np.integer) and not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"{form} of bytes, whole numbers or floats")
    if np.issubdtype(images.dtype, np.floating) and (bad := _first_not_finite(images)) is not None:
        raise DataError(f"{what} hold values that are not finite, first in image {bad}; leave such images out")


def _first_not_finite(images: np.ndarray) -> int | None:
    for start in range(0, len(images), _CHUNK):
        fine_N = np.isfinite(images[start : start + _CHUNK]).reshape(len(images[start : start + _CHUNK]), -1).all(1)
        if not fine_N.all():
            return start + int(np.argmin(fine_N))
    return None


def ranges_of(parts: Sequence[np.ndarray]) -> dict[str, Range]:
    """The values that become 0 and 255 in arrays (N, H, W, C), of all together; {} where they are bytes already.

    Of grey and colour images all channels have one range, of others each has its own. For the rule see range_of().
    """
    extents = [
        (kind, (float(values.min()), float(values.max())))
        for images_NHWC in parts
        if not _are_bytes(images_NHWC)
        for kind, values in _by_kind(images_NHWC)
    ]
    if too_large := [high for kind, (low, high) in extents if kind.startswith("integer") and max(high, -low) >= 2**32]:
        raise DataError(f"images hold whole numbers up to {too_large[0]:g}, of more than 32 bits; give them as floats")
    return range_of(extents)


def as_bytes(images_NHWC: np.ndarray, ranges: Mapping[str, Range], what: str = "images") -> np.ndarray:
    """uint8 (N, C, H, W) of arrays (N, H, W, C); DataError for values outside the ranges of the training images."""
    if not ranges and _are_bytes(images_NHWC):
        return np.require(images_NHWC.astype(np.uint8, copy=False).transpose(0, 3, 1, 2), requirements=("C", "W"))
    if images_NHWC.dtype == np.uint8:
        raise DataError(f"{what} are uint8, and the training images were not: store both alike")
    found_NCHW = np.empty((len(images_NHWC), images_NHWC.shape[3], *images_NHWC.shape[1:3]), dtype=np.uint8)
    channel = 0
    for kind, values in _by_kind(images_NHWC):
        try:
            span = known_range(kind, (float(values.min()), float(values.max())), ranges)
        except DataError as error:
            raise DataError(f"the array of {what} {error}") from error
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            # In 64 bits, in which nothing overflows.
            wide = chunk.astype(np.int64) if np.issubdtype(chunk.dtype, np.integer) else chunk
            until = channel + values.shape[3]
            found_NCHW[start : start + _CHUNK, channel:until] = in_range(wide, span).transpose(0, 3, 1, 2)
        channel += values.shape[3]
    return found_NCHW


def range_notes(dtype: np.dtype[Any], ranges: Mapping[str, Range], images_NCHW: np.ndarray) -> list[str]:
    """Sentences on how values became bytes, and on channels of which little is left; `images_NCHW` are the bytes."""
    notes = [f"images of {dtype}: {range_text(kind, span)}, in all images alike" for kind, span in ranges.items()]
    for number, kind in enumerate(ranges):
        channels_NCHW = images_NCHW[:, number : number + 1] if len(ranges) > 1 else images_NCHW
        counts_256 = np.bincount(channels_NCHW.ravel(), minlength=256)
        shares_256 = np.cumsum(counts_256) / counts_256.sum()
        low, high = np.searchsorted(shares_256, (0.01, 0.99))
        if (steps := int(high - low) + 1) < _FEW_STEPS:
            notes.append(
                f"98 % of the values{_of_channel(kind)} lie within {steps} of the 256 steps, so that little is told "
                f"apart; clip outliers or take logarithms before you store them"
            )
    return notes


def range_text(kind: str, span: Range) -> str:
    """What becomes of the values of a kind, in words."""
    low, high = span
    return f"values{_of_channel(kind)} from {low:g} to {high:g} become 0 to 255"


def _of_channel(kind: str) -> str:
    _, _, channel = kind.partition(" ")
    return f" of channel {channel}" if channel else ""


def _are_bytes(images: np.ndarray) -> bool:
    """Whether these are bytes, or whole numbers of a wider type that all are."""
    if images.dtype == np.uint8 or not images.size:
        return True
    return np.issubdtype(images.dtype, np.integer) and bool(images.min() >= 0 and images.max() <= 255)


def _by_kind(images_NHWC: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The kinds of ranges.py with the channels (N, H, W, c) that have them, in the order of the channels."""
    kind = "integer" if np.issubdtype(images_NHWC.dtype, np.integer) else "float"
    channels = images_NHWC.shape[3]
    if channels in _PICTURES:
        return [(kind, images_NHWC)]
    return [(f"{kind} {channel}", images_NHWC[..., channel : channel + 1]) for channel in range(channels)]
