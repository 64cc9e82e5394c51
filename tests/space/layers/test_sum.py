import re

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import Sum


@pytest.mark.parametrize("number", [2, 3])
def test_it_agrees_with_its_module_and_source(agrees, number):
    agrees(Sum(), *[(3, 5, 4)] * number)


def test_it_adds():
    maps = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), 3.0)
    assert build_layer(Sum(), (1, 2, 2), (1, 2, 2))(*maps).tolist() == torch.full((1, 1, 2, 2), 5.0).tolist()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 2, 2),), "it needs at least two feature maps"),
        (((1, 2, 2), (1, 2, 3)), "it adds feature maps of one shape, and these are 1x2x2, 1x2x3"),
    ],
)
def test_what_cannot_be_added(shapes, message):
    assert Sum().output_shape(*shapes) is None
    with pytest.raises(SpaceError, match=re.escape(message)):
        Sum().flops(*shapes)
