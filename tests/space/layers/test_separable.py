import re

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import SeparableConvolution


@pytest.mark.parametrize("shape", [(3, 8, 7), (16, 2, 5)])
@pytest.mark.parametrize(
    "layer",
    [SeparableConvolution(8, 3), SeparableConvolution(16, 5, 2), SeparableConvolution(8, 3, 2, 0.5)],
    ids=lambda layer: layer.label,
)
def test_it_agrees_with_its_module_and_source(agrees, layer, shape):
    agrees(layer, shape)


@pytest.mark.parametrize(
    ("layer", "after", "costs"),
    [
        # 3x3 on each of 6 channels, 6 x 16 between them; batch norms of 6 and 16 channels.
        (SeparableConvolution(16, 3), (16, 7, 5), (54 + 96 + 44, 150 * 35, 44 * 35)),
        (SeparableConvolution(16, 5, 2, 0.5), (8, 4, 3), (150 + 48 + 28, 198 * 12, 28 * 12)),
    ],
)
def test_shapes_and_costs_by_hand(layer, after, costs):
    shape = (6, 7, 5)
    assert layer.output_shape(shape) == after
    assert (layer.params(shape), layer.flops(shape), layer.activations(shape)) == costs


def test_each_channel_is_convolved_by_itself_and_then_mixed():
    module = build_layer(SeparableConvolution(1, 3), (2, 3, 3)).eval()
    depthwise, _, _, pointwise, _, _ = module
    assert depthwise.groups == 2
    nn.init.zeros_(depthwise.weight)
    with torch.no_grad():
        depthwise.weight[0, 0, 0, 0], depthwise.weight[1, 0, 1, 1] = 1.0, 10.0
        pointwise.weight[0, :, 0, 0] = torch.tensor([1.0, 100.0])
    image = torch.arange(1.0, 19.0).view(1, 2, 3, 3)
    # Channel 0 is shifted by a pixel down and right; channel 1 is 10 to 18, times 10 and 100.
    expected = torch.tensor([[0.0, 0, 0], [0, 1, 2], [0, 4, 5]]) + 1000 * image[0, 1]
    torch.testing.assert_close(module(image)[0, 0], expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 4), "kernel of a SeparableConvolution is 4; it must be odd"),
        ((16, 1), "kernel of a SeparableConvolution is 1; it must be a whole number of at least 3"),
        ((16, 3, 0), "stride of a SeparableConvolution is 0"),
        ((16, 3, 1, 0.01), "width is 0.01, which leaves 16 channels none"),
    ],
)
def test_what_cannot_be_a_layer(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        SeparableConvolution(*arguments)


def test_it_is_illegal_where_a_side_is_below_the_stride():
    layer = SeparableConvolution(16, 3, 2)
    assert layer.label == "sep16k3s2"
    assert layer.output_shape((4, 1, 8)) is None
    with pytest.raises(SpaceError, match="sep16k3s2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        layer.flops((4, 1, 8))
