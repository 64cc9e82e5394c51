import pytest
import torch

from replaytree.space.building import build_layer
from replaytree.space.layers import Unrolled


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 5), (2, 1, 1)])
def test_it_agrees_with_its_module_and_source(agrees, shape):
    agrees(Unrolled(), shape)


def test_it_goes_row_by_row_in_each_channel():
    assert Unrolled().output_shape((3, 7, 5)) == (3, 35, 1)
    image = torch.arange(12.0).view(1, 2, 2, 3).contiguous(memory_format=torch.channels_last)
    assert build_layer(Unrolled(), (2, 2, 3))(image)[0, :, :, 0].tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
