import numpy as np
import pytest
import torch
from PIL import Image

from replaytree.data import match_channels
from replaytree.errors import DataError


def test_grey_to_colour_and_back_is_the_same():
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    colour = match_channels(grey, 3)
    assert colour.shape == (1, 3, 16, 16)
    assert torch.equal(match_channels(colour, 1), grey)
    assert match_channels(grey, 1) is grey


def test_luminance_is_pillows():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    found = match_channels(torch.from_numpy(pixels).permute(2, 0, 1)[None], 1)
    assert np.array_equal(found[0, 0].numpy(), expected)


def test_other_numbers():
    with pytest.raises(DataError, match="have 4 channels, and 3 are needed"):
        match_channels(torch.zeros(1, 4, 2, 2, dtype=torch.uint8), 3)
