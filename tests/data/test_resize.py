import numpy as np
import pytest
import torch
from PIL import Image

from replaytree.data.resize import resized_images, resized_picture, resizing_text, scaled_sides


@pytest.mark.parametrize(
    ("found", "sides", "how", "expected"),
    [
        ((10, 40), (8, 8), "squash", (8, 8)),
        ((10, 40), (8, 8), "pad", (2, 8)),
        ((10, 40), (8, 8), "crop", (8, 32)),
        ((40, 10), (8, 16), "pad", (8, 2)),
        ((40, 10), (8, 16), "crop", (64, 16)),
        ((1000, 1), (8, 8), "pad", (8, 1)),
        ((3, 7), (6, 14), "crop", (6, 14)),
        ((5, 5), (3, 3), "pad", (3, 3)),
    ],
)
def test_scaled_sides(found, sides, how, expected):
    assert scaled_sides(found, sides, how) == expected


# Columns of 0, 80, 160, 240.
STRIPES = np.repeat(np.array([[0, 80, 160, 240]], np.uint8), 2, axis=0)


def both(pixels, sides, how):
    """The same picture by Pillow and by torch."""
    picture = np.asarray(resized_picture(Image.fromarray(pixels), sides, how))
    image = resized_images(torch.from_numpy(pixels.copy())[None, None], sides, how)
    return picture.tolist(), image[0, 0].tolist()


def test_pad_puts_black_above_and_below():
    expected = [[0] * 4, *STRIPES.tolist(), [0] * 4]
    assert both(STRIPES, (4, 4), "pad") == (expected, expected)
    # An odd rest goes above.
    expected = [[0] * 4, *expected]
    assert both(STRIPES, (5, 4), "pad") == (expected, expected)


def test_crop_takes_the_middle():
    assert both(STRIPES, (2, 2), "crop") == ([[80, 160]] * 2, [[80, 160]] * 2)


def test_squash_reaches_every_edge():
    for found in both(STRIPES, (2, 2), "squash"):
        (left, right), _ = found
        assert 0 < left < 80
        assert 160 < right < 240


def test_colours_are_padded_with_black():
    picture = resized_picture(Image.new("RGB", (4, 2), "red"), (4, 4), "pad")
    assert picture.mode == "RGB"
    assert picture.getpixel((0, 0)) == (0, 0, 0)
    assert picture.getpixel((0, 1)) == (255, 0, 0)


def test_what_is_done_in_words():
    assert resizing_text((24, 64), "pad").startswith("pictures become 24x64 pixels (rows x columns): scaled to fit")
