"""The auxiliary classifier against the published counts, and its form."""

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import AuxiliaryClassifier


@pytest.mark.parametrize(
    ("channels", "bias", "published"),
    [
        # Four nodes, or three, of 4 C channels, C = 36 and 16: the DARTS family.
        (4 * 4 * 36, True, 476_426), (3 * 4 * 36, True, 457_994),
        (4 * 4 * 16, True, 435_466), (3 * 4 * 16, True, 427_274),
        # Five loose ends: ENAS micro, C = 36.
        (5 * 4 * 36, False, 494_848),
    ],
)  # fmt: skip
def test_parameters_are_the_published_ones(channels, bias, published):
    assert AuxiliaryClassifier(10, bias).params((channels, 8, 8)) == published


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 12, 9), (6, 4, 4), (6, 1, 7)])
def test_it_is_what_it_says(agrees, shape):
    agrees(AuxiliaryClassifier(3), *[shape])
    agrees(AuxiliaryClassifier(3, bias=False), *[shape])


def test_it_reads_windows_of_5_pixels_every_3_and_then_all_of_them():
    module = build_layer(AuxiliaryClassifier(3), (2, 8, 8)).eval()
    pooling, whole = module[1], module[5]
    features = torch.arange(64.0).view(1, 1, 8, 8)
    # Rows and columns 0 to 4 and 3 to 7: the middle of a window of consecutive numbers is its average.
    assert pooling(features).tolist() == [[[[2 * 8 + 2, 2 * 8 + 5], [5 * 8 + 2, 5 * 8 + 5]]]]
    assert isinstance(whole, nn.Conv2d)
    assert (whole.kernel_size, whole.padding) == ((2, 2), (0, 0))
    # A side below 5 is pooled whole.
    assert build_layer(AuxiliaryClassifier(3), (2, 4, 8))[5].kernel_size == (1, 2)


def test_what_is_no_auxiliary_classifier():
    with pytest.raises(SpaceError, match="num_classes of an AuxiliaryClassifier is 0"):
        AuxiliaryClassifier(0)
    with pytest.raises(SpaceError, match="bias of an AuxiliaryClassifier is 1"):
        AuxiliaryClassifier(3, 1)
