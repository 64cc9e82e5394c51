import re

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import InvertedResidual


@pytest.mark.parametrize("shape", [(4, 8, 7), (8, 2, 5)])
@pytest.mark.parametrize(
    "layer",
    [InvertedResidual(8, 2), InvertedResidual(8, 6, 2), InvertedResidual(8, 4, kernel=5, width=0.5)],
    ids=lambda layer: layer.label,
)
def test_it_agrees_with_its_module_and_source(agrees, layer, shape):
    agrees(layer, shape)


@pytest.mark.parametrize(
    ("layer", "after", "costs"),
    [
        # 6 channels to 24; 3x3 on each; to 8. Batch norms of 24, 24 and 8 channels. All on 7x5 pixels.
        (
            InvertedResidual(8, 4),
            (8, 7, 5),
            (144 + 216 + 192 + 112, 552 * 35, (3 * (24 + 24) + 2 * 8) * 35),
        ),
        # With stride 2 only the first convolution, 6 to 12, sees 7x5 pixels; those after it see 4x3.
        (
            InvertedResidual(8, 2, 2),
            (8, 4, 3),
            (72 + 108 + 96 + 64, 72 * 35 + 204 * 12, 3 * 12 * (35 + 12) + 2 * 8 * 12),
        ),
    ],
)
def test_shapes_and_costs_by_hand(layer, after, costs):
    shape = (6, 7, 5)
    assert layer.output_shape(shape) == after
    assert (layer.params(shape), layer.flops(shape), layer.activations(shape)) == costs


def test_the_input_is_added_where_its_shape_stays():
    features = torch.randn(2, 4, 6, 6)
    block = build_layer(InvertedResidual(4, 2), (4, 6, 6)).eval()
    nn.init.zeros_(block[-1].weight)
    assert torch.equal(block(features), features)
    for layer in (InvertedResidual(5, 2), InvertedResidual(4, 2, 2)):
        block = build_layer(layer, (4, 6, 6)).eval()
        nn.init.zeros_(block[-1].weight)
        assert block(features).abs().sum() == 0
    assert InvertedResidual(8, 2, width=0.5).skips(4)


def test_the_middle_is_clipped_at_6_and_the_end_is_linear():
    block = build_layer(InvertedResidual(1, 1), (1, 1, 1)).eval()
    for convolution in (block[0], block[3]):
        nn.init.constant_(convolution.weight, 1.0)
    nn.init.constant_(block[6].weight, -1.0)
    pixels = torch.tensor([-3.0, 2.0, 10.0])[:, None, None, None]
    # The pixel, less itself clipped to 0 ... 6.
    torch.testing.assert_close(block(pixels).flatten(), torch.tensor([-3.0, 0.0, 4.0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 0), "expansion of an InvertedResidual is 0; it must be a whole number of at least 1"),
        ((16, 2, 1, 4), "kernel of an InvertedResidual is 4; it must be odd"),
        ((16, 2, 1, 3, 0.01), "width is 0.01, which leaves 16 channels none"),
    ],
)
def test_what_cannot_be_a_layer(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        InvertedResidual(*arguments)


def test_it_is_illegal_where_a_side_is_below_the_stride():
    layer = InvertedResidual(16, 6, 2)
    assert layer.label == "inv16e6k3s2"
    assert layer.output_shape((4, 8, 1)) is None
    with pytest.raises(SpaceError, match="inv16e6k3s2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        layer.flops((4, 8, 1))
