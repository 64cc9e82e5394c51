"""The small layers that cells are made of beside operations."""

import torch

from replaytree.space.building import build_layer
from replaytree.space.layers import NormedSum, Pointwise, Rectifier


def test_they_agree_with_their_modules_and_sources(agrees):
    agrees(Pointwise(6), (3, 5, 4))
    agrees(Rectifier(), (3, 5, 4))


def test_costs_by_hand():
    shape = (4, 7, 5)
    assert (Pointwise(6).params(shape), Pointwise(6).flops(shape)) == (24, 24 * 35)
    assert (Rectifier().params(shape), Rectifier().flops(shape), Rectifier().activations(shape)) == (0, 0, 140)
    assert (Pointwise(6).label, Rectifier().label) == ("point6", "relu")


def test_a_normed_sum_of_them_is_one_convolution_of_all_inputs():
    torch.manual_seed(0)
    shape = (3, 4, 4)
    parts = [build_layer(Pointwise(5), shape) for _ in range(2)]
    maps = [torch.randn(2, *shape) for _ in parts]
    with torch.no_grad():
        one = torch.nn.functional.conv2d(
            torch.cat(maps, 1).relu(), torch.cat([part[1].weight for part in parts], dim=1)
        )
        apart = [part(each) for part, each in zip(parts, maps, strict=True)]
        torch.testing.assert_close(sum(apart), one)
        norm = build_layer(NormedSum(), (5, 4, 4), (5, 4, 4))
        torch.testing.assert_close(norm(*apart), norm.norm(one))
