"""Folders of images, one sub-folder a class, decoded once into one uint8 array and kept in a cache.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from replaytree.data.images import Labelled
from replaytree.errors import DataError

DEFAULT_SIDE = 32
_CACHE_VERSION = 1
_CHUNK = 128
# Folders of these names are parts of a data set; taken as classes they would let test images into a search.
_PART_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """uint8 images (N, C, H, W), C = 1 only where all are grey, and the ascending positions that could not be read."""

    images_NCHW: np.ndarray
    bad: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FolderImages:
    """What a folder holds: its train part, its own validation part if it has one, and what was skipped."""

    train: Labelled
    val: Labelled | None
    skipped: tuple[str, ...]


def read_folder(folder: Path, *, image_size: int, skip_bad: bool) -> FolderImages:
    """Reads `folder`/train/<class>/* and `folder`/val/<class>/* if it is there, or `folder`/<class>/*; never test/.

    Raises DataError where the folder is missing or empty, has fewer than two classes, a class with too few images,
    other classes in val/ than in train/, or unreadable images (with `skip_bad` those are left out and named instead).
    """
    train_root = _train_root(folder)
    val_root = folder / "val" if train_root != folder and (folder / "val").is_dir() else None
    classes = _classes(train_root)
    if val_root is not None and (val_classes := _classes(val_root)) != classes:
        differing = sorted(set(val_classes) ^ set(classes))
        raise DataError(
            f"{val_root} and {train_root} differ in classes: {_some(differing)}; give both the same sub-folders"
        )
    samples = _samples(train_root, classes)
    train_size = len(samples)
    if val_root is not None:
        samples += _samples(val_root, classes)
    labels_N = np.array([label for _, label in samples], dtype=np.int64)
    least = 2 if val_root is None else 1
    _require_images(labels_N[:train_size], classes, train_root, least=least)
    if val_root is not None:
        _require_images(labels_N[train_size:], classes, val_root, least=1)

    decoded = _decode_cached(folder, [path for path, _ in samples], image_size)
    skipped = tuple(os.path.relpath(samples[position][0], folder) for position in decoded.bad)
    if skipped and not skip_bad:
        raise DataError(
            f"{len(skipped)} of {len(samples)} images in {folder} cannot be read: {_some(skipped)}; "
            f"repair or remove them, or leave them out with --skip-bad"
        )
    good_N = np.ones(len(samples), dtype=bool)
    good_N[list(decoded.bad)] = False
    parts = []
    for root, part in ((train_root, slice(0, train_size)), (val_root, slice(train_size, None))):
        if root is not None:
            images, labels = decoded.images_NCHW[part], labels_N[part]
            if skipped:
                images, labels = images[good_N[part]], labels[good_N[part]]
                _require_images(labels, classes, root, least=least if root == train_root else 1)
            parts.append(Labelled(classes, torch.from_numpy(images), torch.from_numpy(labels)))
    return FolderImages(train=parts[0], val=parts[1] if len(parts) > 1 else None, skipped=skipped)


def read_images(paths: Sequence[str | Path], *, image_size: int) -> Decoded:
    """Decodes image files in parallel threads, each resized to a square of `image_size` (bilinear, antialiased)."""
    images_NHWC = np.zeros((len(paths), image_size, image_size, 3), dtype=np.uint8)
    grey_N = np.ones(len(paths), dtype=bool)
    bad: list[int] = []

    def decode(start: int) -> None:
        for position in range(start, min(start + _CHUNK, len(paths))):
            try:
                grey_N[position] = _decode(paths[position], image_size, into_HWC=images_NHWC[position])
            except MemoryError:
                raise
            except Exception:  # a damaged file makes Pillow raise OSError, SyntaxError, struct.error and more
                bad.append(position)

    # 5,000 WebP files of CIFAR-10 on 2 cores: 1.1 s with 1 thread, 0.56 s with 2, 0.71 s with 8.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(decode, range(0, len(paths), _CHUNK)))
    images_NCHW = images_NHWC.transpose(0, 3, 1, 2)
    if grey_N.all():
        images_NCHW = images_NCHW[:, :1]
    return Decoded(np.ascontiguousarray(images_NCHW), tuple(sorted(bad)))


def cache_folder() -> Path:
    """replaytree's folder in the user's cache: $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "replaytree"


def _decode(path: str | Path, side: int, *, into_HWC: np.ndarray) -> bool:
    """Writes the image as RGB; True if it is grey."""
    with Image.open(path) as file:
        file.draft(None, (2 * side, 2 * side))  # a large JPEG is decoded at a fraction of its size
        image: Image.Image = file
        if file.mode.startswith("I;16"):  # Pillow would clip 16 bits at 255
            image = Image.fromarray((np.asarray(file) >> 8).astype(np.uint8))
        elif "transparency" in file.info:
            image = file.convert("RGBA")
        grey = image.mode in ("1", "L")
        image = image.convert("L" if grey else "RGB").resize((side, side), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    into_HWC[:] = pixels[:, :, None] if grey else pixels
    return grey


def _train_root(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"the folder {folder} does not exist; check the path, or name a data set")
    if (folder / "train").is_dir():
        return folder / "train"
    if parts := [name for name in _subfolders(folder) if name.casefold() in _PART_NAMES]:
        raise DataError(
            f"{folder} has {_some(parts)} but no train; name its parts train, val and test, or put the class folders "
            f"directly into it"
        )
    return folder


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _classes(root: Path) -> tuple[str, ...]:
    classes = tuple(_subfolders(root))
    if len(classes) < 2:
        have = f"only the class {classes[0]!r}" if classes else "no class folders"
        if not any(root.iterdir()):
            have = "nothing in it"
        raise DataError(f"{root} has {have}; it needs at least two sub-folders, one a class, with images in them")
    return classes


def _samples(root: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    """(path, label) of every image, sorted; files that begin with a dot (macOS leaves ._name.jpg) are not images."""
    labels = {name: label for label, name in enumerate(classes)}
    samples: list[tuple[str, int]] = make_dataset(str(root), labels, extensions=IMG_EXTENSIONS, allow_empty=True)
    return [(path, label) for path, label in samples if not os.path.basename(path).startswith(".")]


def _require_images(labels_N: np.ndarray, classes: Sequence[str], root: Path, *, least: int) -> None:
    counts = Counter(labels_N.tolist())
    if poor := [f"{name} ({counts[label]})" for label, name in enumerate(classes) if counts[label] < least]:
        raise DataError(
            f"classes with fewer than {least} readable images in {root}: {_some(poor)}; add images "
            f"({', '.join(IMG_EXTENSIONS)}) or remove the class"
        )


def _decode_cached(folder: Path, paths: Sequence[str], image_size: int) -> Decoded:
    """As read_images, from the cache where the same files were decoded before."""
    file = cache_folder() / "images" / f"{_cache_key(folder, paths, image_size)}.npz"
    decoded = _read_cache(file, count=len(paths), image_size=image_size)
    if decoded is None:
        decoded = read_images(paths, image_size=image_size)
        _write_cache(file, decoded)
    return decoded


def _cache_key(folder: Path, paths: Iterable[str], image_size: int) -> str:
    digest = hashlib.sha256(json.dumps([_CACHE_VERSION, image_size]).encode())
    for path in paths:
        stat = os.stat(path)
        digest.update(json.dumps([os.path.relpath(path, folder), stat.st_size, stat.st_mtime_ns]).encode())
    return digest.hexdigest()


def _read_cache(file: Path, *, count: int, image_size: int) -> Decoded | None:
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:  # the zip's CRC tells damage
            images, bad = arrays["images"], tuple(arrays["bad"].tolist())
    # zipfile raises RuntimeErrors for a password and for compression that it does not know.
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile):
        return None
    if images.dtype != np.uint8 or images.shape not in [
        (count, channels, image_size, image_size) for channels in (1, 3)
    ]:
        return None
    return Decoded(images, bad)


def _write_cache(file: Path, decoded: Decoded) -> None:
    """Writes beside the final name and renames, so that no reader sees half a file. No cache where that fails."""
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".tmp", delete=False) as stream:
            temporary = stream.name
            np.savez(stream, images=decoded.images_NCHW, bad=np.array(decoded.bad, dtype=np.int64))
        os.replace(temporary, file)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _some(names: Sequence[str], most: int = 10) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
