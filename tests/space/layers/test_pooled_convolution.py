import re

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import PooledConvolution


@pytest.mark.parametrize("shape", [(3, 8, 6), (4, 1, 1)])
@pytest.mark.parametrize(
    "layer",
    [
        PooledConvolution(5, 3),
        PooledConvolution(5, 1, 3, 0.5),
        PooledConvolution(5, 4, 2),
        PooledConvolution(6, 7, 5, 0.25),
        PooledConvolution(5, 61, 60, one_dimensional=True),
        PooledConvolution(5, 6, 9, 0.1, one_dimensional=True),
    ],
    ids=lambda layer: layer.label,
)
def test_it_agrees_with_its_module_and_source(agrees, layer, shape):
    agrees(layer, (shape[0], shape[1] * shape[2], 1) if layer.one_dimensional else shape)


@pytest.mark.parametrize(
    ("layer", "shape", "after", "costs"),
    [
        # Kernels of 3x3 on 2 channels, and a bias for each of 4; the ReLU's output is kept.
        (PooledConvolution(4, 3), (2, 5, 6), (4, 5, 6), (4 * (2 * 9 + 1), 4 * 18 * 30, 120)),
        # Pooling keeps indices of 64 bits, dropout its mask; then the output.
        (PooledConvolution(4, 3, 3, 0.5), (2, 5, 6), (4, 5, 6), (76, 4 * 18 * 30, 5 * 120)),
        # An even kernel pads 2 x 5 x 6 to 2 x 6 x 7, an even pool 4 x 5 x 6 to 4 x 6 x 7.
        (PooledConvolution(4, 2, 2), (2, 5, 6), (4, 5, 6), (4 * 9, 4 * 8 * 30, 4 * 120 + 84 + 168)),
        # In one dimension a kernel of 61 has 61 weights, and a pool of 60 pads one column to 784 + 59.
        (
            PooledConvolution(24, 61, 60, one_dimensional=True),
            (1, 784, 1),
            (24, 784, 1),
            (1488, 24 * 61 * 784, 4 * 24 * 784 + 24 * 843),
        ),
    ],
)
def test_shapes_and_costs_by_hand(layer, shape, after, costs):
    assert layer.output_shape(shape) == after
    assert (layer.params(shape), layer.flops(shape), layer.activations(shape)) == costs


def test_labels():
    assert PooledConvolution(24, 61, 60, 0.5).label == "conv24k61p60d0.5"
    assert PooledConvolution(8, 3).label == "conv8k3"


def test_an_even_window_sees_one_pixel_more_to_the_right_and_below():
    module = build_layer(PooledConvolution(1, 1, 2), (1, 3, 3))
    nn.init.ones_(module[0].weight)
    image = torch.tensor([[1.0, 5.0, 2.0], [4.0, 3.0, 9.0], [8.0, 7.0, 6.0]])[None, None]
    assert module(image)[0, 0].tolist() == [[5, 9, 9], [8, 9, 9], [8, 7, 6]]


def test_a_convolution_of_one_column_by_hand():
    module = build_layer(PooledConvolution(1, 4, one_dimensional=True), (1, 5, 1))
    pad, convolution, _ = module
    assert pad.padding == (0, 0, 1, 2)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, 10.0, 100.0, 1000.0])[None, None, :, None])
        convolution.bias.fill_(-2000.0)
    column = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[None, None, :, None]
    # Each value reads the pixel above it, itself, and two below; then the bias, and the ReLU.
    assert module(column).flatten().tolist() == [1210.0, 2321.0, 3432.0, 0.0, 0.0]


def test_dropout_drops_in_training_and_nowhere_else():
    torch.manual_seed(0)
    module = build_layer(PooledConvolution(1, 1, dropout=0.25), (1, 100, 100))
    nn.init.ones_(module[0].weight)
    ones = torch.ones(1, 1, 100, 100)
    assert torch.equal(module.eval()(ones), ones)
    dropped = module.train()(ones)
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "channels of a PooledConvolution is 0; it must be a whole number of at least 1"),
        ((4, 3, 0), "pool of a PooledConvolution is 0"),
        ((4, 3, 1, 5), "dropout of a PooledConvolution is 5; it is the rate of numbers that become 0, at least 0 and"),
        ((4, 3, 1, float("nan")), "dropout of a PooledConvolution is nan"),
        ((4, 3, 1, 0.5, 1), "one_dimensional of a PooledConvolution is 1; it must be a bool"),
    ],
)
def test_what_cannot_be_a_layer(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        PooledConvolution(*arguments)
