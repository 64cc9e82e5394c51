"""CIFAR-10 for a machine that takes little: `python tests/gpu/pack.py pack FROM TO`, there `... unpack FROM TO`.

FROM is an image folder (train/<class>/*, test/<class>/*). Packed, each class of each split is one sheet of images in
lossless WebP, and the 3 low bits of every value are gone (the middle of what they spanned stands for them): 60,000
images take about 50 MB. Figures from such images must say so. A machine with torch, torchvision, scikit-learn, pandas,
pytest and typer still lacks WHEELS; `python -m pip download --no-deps` fetches them for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

WHEELS = ("sqlalchemy", "alembic", "mako", "plotly")
SIDE, ACROSS, DROPPED = 32, 50, 3


def sheet(images_NHWC: np.ndarray) -> np.ndarray:
    """Images with their low bits dropped, side by side in rows of ACROSS; the last row is filled up with black."""
    middle = 1 << (DROPPED - 1)
    coarse = images_NHWC >> DROPPED << DROPPED | middle
    rows = -(-len(coarse) // ACROSS)
    filled = np.zeros((rows * ACROSS, *coarse.shape[1:]), dtype=np.uint8)
    filled[: len(coarse)] = coarse
    grid = filled.reshape(rows, ACROSS, SIDE, SIDE, 3).swapaxes(1, 2)
    return grid.reshape(rows * SIDE, ACROSS * SIDE, 3)


def images_of(grid: np.ndarray, count: int) -> np.ndarray:
    """The inverse of sheet, but for the low bits."""
    rows = len(grid) // SIDE
    images_NHWC = grid.reshape(rows, SIDE, ACROSS, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)
    return images_NHWC[:count]


def pack(source: Path, target: Path) -> None:
    """A sheet for each class of each split; the number of its images is part of its name."""

    def one(folder: Path) -> None:
        files = sorted(folder.iterdir())
        images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
        name = f"{folder.parent.name}-{folder.name}-{len(files)}.webp"
        Image.fromarray(sheet(images)).save(target / name, lossless=True, method=4)

    _each(one, sorted(folder for split in ("train", "test") for folder in (source / split).iterdir()), target)


def unpack(source: Path, target: Path) -> None:
    """An image folder of bitmaps from the sheets."""

    def one(file: Path) -> None:
        split, name, count = file.stem.split("-")
        folder = target / split / name
        folder.mkdir(parents=True)
        for number, image in enumerate(images_of(np.asarray(Image.open(file)), int(count))):
            Image.fromarray(image).save(folder / f"{number:05d}.bmp")

    _each(one, sorted(source.glob("*.webp")), target)


def _each(run: Callable[[Path], None], paths: list[Path], target: Path) -> None:
    target.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(run, paths))


if __name__ == "__main__":
    command, start, end = sys.argv[1:]
    {"pack": pack, "unpack": unpack}[command](Path(start), Path(end))
