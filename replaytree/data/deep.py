"""Pictures of more than 8 bits a value: their values, the range of the values, and the conversion to 8 bits.

Pillow turns such pictures white or black: it clips at 255, or keeps the upper byte of values that fill the lower one.

Shapes: H rows, W columns, C channels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from replaytree.errors import DataError

Range = tuple[float, float]
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
_NOMINAL: tuple[Range, ...] = ((0.0, 1.0), (0.0, 255.0), (0.0, 65535.0))
_SAMPLE_FORMAT, _BITS_PER_SAMPLE, _SIGNED = 339, 258, 2
# The opposite byte order of a 16-bit value, as Pillow's raw modes name it.
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


@dataclass(frozen=True, slots=True)
class DeepValues:
    """Values (H, W) or (H, W, C) of kind `integer` or `float`, and their range if the format states it."""

    values: np.ndarray
    kind: str
    range: Range | None = None


def grey_values(file: Image.Image) -> DeepValues | None:
    """The values of a grey picture of 12, 16 or 32 bits, or of floats; None for other pictures."""
    if file.mode == "F":
        return DeepValues(np.asarray(file), "float")
    if not file.mode.startswith("I"):
        return None
    values_HW = np.asarray(file)
    tags = getattr(file, "tag_v2", {})
    if values_HW.dtype == np.int32 and file.format == "TIFF" and tags.get(_SAMPLE_FORMAT, (1,))[0] != _SIGNED:
        values_HW = values_HW.view(np.uint32)
    stated: Range | None = None
    if file.format in ("PPM", "JPEG2000"):  # Pillow has scaled these by their maxval, and by their depth
        stated = (0.0, 65535.0)
    elif file.format == "TIFF" and (bits := tags.get(_BITS_PER_SAMPLE, (16,))[0]) not in (16, 32):
        stated = (0.0, 2.0**bits - 1)
    return DeepValues(values_HW.astype(np.int64), "integer", stated)


def colour_values(file: ImageFile.ImageFile) -> DeepValues | None:
    """The values (H, W, C) of a colour picture of 16 bits, of a PNG or TIFF, in the channels of its mode; else None.

    Pillow keeps the upper bytes only. Reading the file again in the other byte order gives the lower ones.
    """
    tiles: Any = getattr(file, "tile", None)
    if not tiles or file.format not in ("PNG", "TIFF") or ";16" not in str(_raw_mode(tiles[0])):
        return None
    with Image.open(file.filename) as again:
        if _raw_mode(tiles[0]) == "LA;16B":  # four bytes a pixel: grey, its lower byte, alpha, its lower byte
            again.tile = [tile._replace(args="RGBA") for tile in again.tile]
            bytes_HW4 = np.asarray(again).astype(np.int64)
            grey_HW, alpha_HW = (bytes_HW4[..., k] * 256 + bytes_HW4[..., k + 1] for k in (0, 2))
            return DeepValues(np.stack([grey_HW, grey_HW, grey_HW, alpha_HW], axis=2), "integer")
        again.tile = [tile._replace(args=_other_order(tile.args)) for tile in again.tile]
        lower_HWC = np.asarray(again).astype(np.int64)
    return DeepValues(np.asarray(file).astype(np.int64) * 256 + lower_HWC, "integer")


def range_of(extents: Iterable[tuple[str, Range]]) -> dict[str, Range]:
    """For each kind of values the range of all pictures together.

    Of integers: the least of 8, 10, 12, 14, 16, 24, 32 bits that hold them, with a sign where some are negative. Of
    floats: 0 to 1, 255 or 65535 where the largest is in the upper half of that, else from the least to the largest.
    """
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for kind, (low, high) in extents:
        lows[kind], highs[kind] = min(low, lows.get(kind, low)), max(high, highs.get(kind, high))
    return {
        kind: (_float_range if kind.startswith("float") else _integer_range)(lows[kind], highs[kind])
        for kind in sorted(lows)
    }


def known_range(kind: str, extent: Range, ranges: Mapping[str, Range]) -> Range:
    """The range for values of a kind; DataError if none is known or the values are outside it."""
    if kind not in ranges:
        what = "floats" if kind.startswith("float") else "more than 8 bits a value"
        raise DataError(f"holds {what}, and the training images did not: {_to_bytes(kind, extent)}")
    low, high = ranges[kind]
    slack = high - low if kind.startswith("float") else 0.0
    if extent[0] < low - slack or extent[1] > high + slack:
        raise DataError(
            f"holds values from {extent[0]:g} to {extent[1]:g}, and the training images {low:g} to {high:g}"
        )
    return low, high


def in_range(values: np.ndarray, span: Range) -> np.ndarray:
    """uint8: `span` becomes 0 to 255; of whole bit depths the upper 8 bits remain, floats are rounded."""
    low, high = span
    if np.issubdtype(values.dtype, np.integer):
        scaled = (values - int(low)) * 256 // (int(high) - int(low) + 1)
    else:
        scaled = np.rint((values.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0))
    clipped: np.ndarray = np.clip(scaled, 0, 255).astype(np.uint8)
    return clipped


def _to_bytes(kind: str, extent: Range) -> str:
    """What makes bytes of values that are none. Only saving them would make floats up to 1 black."""
    low, high = extent
    if not kind.startswith("float"):
        return "scale its values to 0 to 255 and save it with 8 bits"
    if low < 0 or high > 255:
        first = "scale its values to 0 to 255, round them"
    else:
        first = "multiply it by 255 and round it" if high <= 1 else "round it"
    return f"{first}, then save it with 8 bits"


def _integer_range(low: float, high: float) -> Range:
    if low >= 0:
        return 0.0, 2.0 ** next(bits for bits in _DEPTHS if high < 2**bits) - 1
    half = next(2.0 ** (bits - 1) for bits in _DEPTHS if -(2 ** (bits - 1)) <= low and high < 2 ** (bits - 1))
    return -half, half - 1


def _float_range(low: float, high: float) -> Range:
    return next((span for span in _NOMINAL if low >= 0 and span[1] / 2 < high <= span[1]), (low, high))


def _raw_mode(tile: Any) -> Any:
    return tile.args if isinstance(tile.args, str) else tile.args[0]


def _other_order(args: Any) -> Any:
    if isinstance(args, str):
        return args[:-1] + _OTHER_ORDER[args[-1]]
    return (_other_order(args[0]), *args[1:])
