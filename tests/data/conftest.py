"""Keeps every test's cache in its own folder, and writes small image folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder, empty; REPLAYTREE_DATA is unset, so that only what a test makes is found."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("REPLAYTREE_DATA", raising=False)
    return folder


@pytest.fixture
def write_images(tmp_path):
    """write_images("pets/train/cat", 3, mode="RGB") writes 3 PNG files of random pixels; returns the folder."""
    rng = np.random.default_rng(0)

    def write(folder: str, count: int, *, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Path:
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(target / f"{number:03}.png")
        return target

    return write


@pytest.fixture
def pets(tmp_path, write_images):
    """A folder with train/cat (6 images) and train/dog (4 images)."""
    write_images("pets/train/cat", 6)
    write_images("pets/train/dog", 4)
    return tmp_path / "pets"


_REAL_DATA = os.environ.get("REPLAYTREE_DATA")


@pytest.fixture
def real_data():
    """The folder of real data sets that REPLAYTREE_DATA names."""
    if not _REAL_DATA:
        pytest.skip("REPLAYTREE_DATA is not set, so there are no MNIST and CIFAR-10 files to read")
    return Path(_REAL_DATA)
