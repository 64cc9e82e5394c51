import re

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import ShapedConvolution
from replaytree.space.layers.modules.subsampled import SubsampledConv2d


@pytest.mark.parametrize("shape", [(3, 8, 7), (16, 2, 5)])
@pytest.mark.parametrize(
    "layer",
    [
        ShapedConvolution(8, 1, 5),
        ShapedConvolution(8, 5, 1, 2),
        ShapedConvolution(8, 3, 3, 2, 2, 0.5),
        ShapedConvolution(8, 1, 1, 2),
    ],
    ids=lambda layer: layer.label,
)
def test_it_agrees_with_its_module_and_source(agrees, layer, shape):
    agrees(layer, shape)


@pytest.mark.parametrize(
    ("layer", "after", "costs"),
    [
        (ShapedConvolution(16, 1, 5), (16, 7, 5), (6 * 16 * 5 + 32, 6 * 16 * 5 * 35, 2 * 16 * 35)),
        (ShapedConvolution(16, 3, 1, 2), (16, 4, 3), (6 * 16 * 3 + 32, 6 * 16 * 3 * 12, 2 * 16 * 12)),
        # Dilation changes neither the sides nor the costs.
        (ShapedConvolution(16, 3, 3, 1, 2, 0.5), (8, 7, 5), (6 * 8 * 9 + 16, 6 * 8 * 9 * 35, 2 * 8 * 35)),
    ],
)
def test_shapes_and_costs_by_hand(layer, after, costs):
    shape = (6, 7, 5)
    assert layer.output_shape(shape) == after
    assert (layer.params(shape), layer.flops(shape), layer.activations(shape)) == costs


@pytest.mark.parametrize(
    ("layer", "seen"),
    [
        (ShapedConvolution(1, 1, 5), [(3, 1), (3, 2), (3, 3), (3, 4), (3, 5)]),
        (ShapedConvolution(1, 3, 1), [(2, 3), (3, 3), (4, 3)]),
        (
            ShapedConvolution(1, 3, 3, dilation=2),
            [(row, column) for row in (1, 3, 5) for column in (1, 3, 5)],
        ),
    ],
)
def test_which_pixels_one_value_reads(layer, seen):
    module = build_layer(layer, (1, 7, 7)).eval()
    nn.init.ones_(module[0].weight)
    image = torch.ones(1, 1, 7, 7, requires_grad=True)
    module(image)[0, 0, 3, 3].backward()
    assert [tuple(place) for place in image.grad[0, 0].nonzero().tolist()] == seen


def test_a_strided_1x1_kernel_is_subsampled_in_the_module_and_in_the_source():
    layer = ShapedConvolution(8, 1, 1, 2)
    assert isinstance(build_layer(layer, (3, 8, 8))[0], SubsampledConv2d)
    assert "Subsampled(3, 8, (1, 1), 2," in layer.source((3, 8, 8))
    assert ShapedConvolution(8, 1, 1).definitions == ()


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (ShapedConvolution(16, 1, 5), "conv16k1x5"),
        (ShapedConvolution(16, 3, 3, 2, 2), "conv16k3x3d2s2"),
    ],
)
def test_labels(layer, label):
    assert layer.label == label


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 1, 4), "kernel_width of a ShapedConvolution is 4; it must be odd"),
        ((16, True, 3), "kernel_height of a ShapedConvolution is True; it must be a whole number of at least 1"),
        ((16, 3, 3, 1, 0), "dilation of a ShapedConvolution is 0"),
        ((16, 3, 3, 1, 1, 0.01), "width is 0.01, which leaves 16 channels none"),
    ],
)
def test_what_cannot_be_a_layer(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        ShapedConvolution(*arguments)


def test_it_is_illegal_where_a_side_is_below_the_stride():
    layer = ShapedConvolution(16, 1, 5, 2)
    assert layer.output_shape((4, 1, 8)) is None
    with pytest.raises(SpaceError, match="conv16k1x5s2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        layer.flops((4, 1, 8))
