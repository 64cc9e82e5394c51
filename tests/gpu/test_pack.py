import runpy
from pathlib import Path

import numpy as np

PACK = runpy.run_path(str(Path(__file__).with_name("pack.py")))


def test_a_sheet_returns_every_image_with_its_low_bits_in_the_middle():
    images = np.random.default_rng(0).integers(0, 256, (53, 32, 32, 3), dtype=np.uint8)
    grid = PACK["sheet"](images)
    assert grid.shape == (2 * 32, 50 * 32, 3)
    assert np.array_equal(PACK["images_of"](grid, 53), images // 8 * 8 + 4)
