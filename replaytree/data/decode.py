"""Picture files as arrays of one size: 8 bits, grey or RGB, upright, and without transparency.

Training, the test split and `predict` all read pictures here.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from replaytree.config.source import Resize
from replaytree.data.deep import Range, colour_values, grey_values, in_range, known_range, range_of
from replaytree.data.resize import SQUASH, Sides, resized_picture
from replaytree.data.threaded import over_files
from replaytree.errors import DataError

GROUND = "white"
MOST_PIXELS = 300_000_000  # a page of A3 at 1,200 dots an inch has 278 million
_LARGE_PIXELS = 30_000_000
_MOST_TEXT = 1 << 26
_FRAMED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_one_large = threading.Lock()
_limits_lock = threading.Lock()
_readers = 0
_usual_limits: tuple[int | None, int, int] = (None, 0, 0)


@dataclass(frozen=True, slots=True)
class Decoded:
    """uint8 images (N, C, H, W), C = 1 only if all are grey, and facts about their files.

    `bad` maps each position that could not be read to the reason, ascending. `ranges` are the values that became 0 and
    255 in pictures of more than 8 bits, by kind. `deep` counts those pictures; `framed` counts the pictures with
    several frames, of which only the first is read.
    """

    images_NCHW: np.ndarray
    bad: Mapping[int, str]
    ranges: Mapping[str, Range] = field(default_factory=dict)
    deep: int = 0
    framed: int = 0


@dataclass(frozen=True, slots=True)
class _Picture:
    """uint8 (H, W) or (H, W, 3); if the range is not known yet, the kind of the values and their extent."""

    pixels: np.ndarray | None
    framed: bool
    kind: str | None = None
    extent: Range = (0.0, 0.0)


def read_images(
    paths: Sequence[str | Path],
    *,
    sides: Sides,
    resize: Resize = SQUASH,
    ranges: Mapping[str, Range] | None = None,
) -> Decoded:
    """Decode picture files, large ones in parallel threads, each resized to `sides` rows and columns (resize.py).

    Of moving pictures the first frame is taken. EXIF orientation is applied, and transparent pixels show white.
    Pictures of more than 8 bits whose format does not state their range are all scaled alike: by `ranges`, or, if that
    is None, by the range of all of them together. A picture with values outside given ranges is bad.
    """
    try:
        images_NHWC = np.zeros((len(paths), *sides, 3), dtype=np.uint8)
    except (MemoryError, ValueError) as error:
        raise DataError(
            f"{len(paths)} images of {sides[0]}x{sides[1]} pixels do not fit into memory; lower --image-size"
        ) from error
    grey_N = np.ones(len(paths), dtype=bool)
    bad: dict[int, str] = {}
    found: dict[int, tuple[str, Range]] = {}
    framed: set[int] = set()

    def decode(positions: Sequence[int], known: Mapping[str, Range] | None) -> None:
        for position in positions:
            try:
                picture = _decode(paths[position], sides, resize, known)
            except MemoryError as error:
                raise DataError(f"{paths[position]} does not fit into memory; make it smaller") from error
            except Exception as error:  # a damaged file makes Pillow raise OSError, SyntaxError, struct.error and more
                bad[position] = reason(error)
                continue
            if picture.framed:
                framed.add(position)
            if picture.kind is not None:
                found[position] = (picture.kind, picture.extent)
            if picture.pixels is not None:
                grey_N[position] = picture.pixels.ndim == 2
                images_NHWC[position] = picture.pixels[:, :, None] if grey_N[position] else picture.pixels

    def decode_all(positions: Sequence[int], known: Mapping[str, Range] | None) -> None:
        over_files(lambda part: decode(positions[part.start : part.stop], known), len(positions))

    with _wide_limits():
        decode_all(range(len(paths)), ranges)
        if ranges is None:
            ranges = range_of(found.values())
            decode_all(sorted(found), ranges)
    images_NCHW = images_NHWC.transpose(0, 3, 1, 2)
    if grey_N.all():
        images_NCHW = images_NCHW[:, :1]
    return Decoded(
        np.ascontiguousarray(images_NCHW), dict(sorted(bad.items())), dict(ranges), len(found), len(framed - set(bad))
    )


def reason(error: Exception) -> str:
    """Why a file cannot be read, in a few words and without its name."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    if _is_damage(error):
        return "truncated or damaged"
    text = str(error).splitlines()
    return (text[0] if text and text[0] else type(error).__name__)[:120]


def _is_damage(error: Exception) -> bool:
    """Whether Pillow took a file for a picture and could not read it to its end, which it tells in words of its own."""
    if isinstance(error, SyntaxError | EOFError | struct.error | zlib.error | IndexError):
        return True
    return isinstance(error, OSError) and not any(word in str(error) for word in ("support", "available", "unknown"))


def _decode(path: str | Path, sides: Sides, resize: Resize, ranges: Mapping[str, Range] | None) -> _Picture:
    with Image.open(path) as file:
        pixels = file.width * file.height
        if pixels > MOST_PIXELS:
            raise DataError(
                f"has {file.width}x{file.height} pixels, more than {MOST_PIXELS // 1_000_000} million: make it smaller"
            )
        # A large JPEG is decoded at a fraction of its size; it may yet be turned.
        file.draft(None, (2 * max(sides), 2 * max(sides)))
        if file.width * file.height > _LARGE_PIXELS:
            with _one_large:
                return _read(file, sides, resize, ranges)
        return _read(file, sides, resize, ranges)


def _read(file: ImageFile.ImageFile, sides: Sides, resize: Resize, ranges: Mapping[str, Range] | None) -> _Picture:
    framed = file.format in _FRAMED and bool(getattr(file, "is_animated", False))
    transparency = file.info.get("transparency")
    image: Image.Image = file
    deep = grey_values(file) or colour_values(file)
    if deep is not None:
        if not np.isfinite(deep.values).all():
            raise DataError("holds values that are not finite")
        extent = (float(deep.values.min()), float(deep.values.max()))
        if deep.range is None and ranges is None:
            return _Picture(None, framed, deep.kind, extent)
        scaled = in_range(deep.values, deep.range or known_range(deep.kind, extent, ranges or {}))
        image = Image.fromarray(scaled) if scaled.ndim == 2 else _of_mode(scaled, file.mode)
        if scaled.ndim == 2 and isinstance(transparency, int):
            alpha = Image.fromarray(np.where(deep.values == transparency, 0, 255).astype(np.uint8))
            image = Image.merge("LA", (image, alpha))
        transparency = None
    image = _opaque(image, has_key=transparency is not None)
    resized = resized_picture(_upright(image, file), sides, resize)
    kind = None if deep is None or deep.range is not None else deep.kind
    return _Picture(np.asarray(resized), framed, kind)


def plain_picture(image: Image.Image) -> Image.Image:
    """A picture in memory of at most 8 bits: grey or RGB, upright, and transparent pixels white."""
    return _upright(_opaque(image, has_key=image.info.get("transparency") is not None), image)


def _of_mode(values_HWC: np.ndarray, mode: str) -> Image.Image:
    image: Image.Image = Image.frombytes(mode, values_HWC.shape[1::-1], np.ascontiguousarray(values_HWC).tobytes())
    return image


def _opaque(image: Image.Image, *, has_key: bool) -> Image.Image:
    """In mode L if it is grey, else RGB; transparent pixels show white."""
    grey = image.mode in ("1", "L", "LA", "La")
    if has_key or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            image = Image.alpha_composite(Image.new("RGBA", image.size, GROUND), image)
        image = image.convert("RGB")
    if image.mode == "LAB":
        to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        converted = ImageCms.applyTransform(image, to_rgb)
        assert converted is not None
        return converted
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _upright(image: Image.Image, file: Image.Image) -> Image.Image:
    """Turned as the file's EXIF orientation says; Pillow has already turned a TIFF while loading it."""
    orientation = None
    if not isinstance(file, TiffImagePlugin.TiffImageFile):
        with suppress(Exception):  # damaged EXIF makes Pillow raise any exception, though the pixels are sound
            orientation = file.getexif().get(_ORIENTATION)
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


@contextmanager
def _wide_limits() -> Iterator[None]:
    """Raise Pillow's limits on pixels and on text in a PNG to ours; the last reader restores them."""
    global _readers, _usual_limits  # noqa: PLW0603
    with _limits_lock:
        if _readers == 0:
            _usual_limits = (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
            Image.MAX_IMAGE_PIXELS = None
            PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = _MOST_TEXT, 4 * _MOST_TEXT
        _readers += 1
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged EXIF and of palettes with transparency, in words that name no file.
            warnings.filterwarnings("ignore", module=r"PIL\..*")
            yield
    finally:
        with _limits_lock:
            _readers -= 1
            if _readers == 0:
                (
                    Image.MAX_IMAGE_PIXELS,
                    PngImagePlugin.MAX_TEXT_CHUNK,
                    PngImagePlugin.MAX_TEXT_MEMORY,
                ) = _usual_limits
