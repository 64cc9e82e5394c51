import re

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import StackedSeparable


@pytest.mark.parametrize("shape", [(3, 8, 7), (8, 2, 5)])
@pytest.mark.parametrize(
    "layer",
    [
        StackedSeparable(8, 3),
        StackedSeparable(8, 5, 2),
        StackedSeparable(6, 3, 2, dilation=2, stacks=1),
        StackedSeparable(4, 7, stacks=3, affine=False),
    ],
    ids=lambda layer: layer.label,
)
def test_it_agrees_with_its_module_and_source(agrees, layer, shape):
    agrees(layer, shape)


@pytest.mark.parametrize(
    ("layer", "label", "after", "params", "weights"),
    [
        # Per stack: one kernel a channel read, and a 1x1 convolution.
        (StackedSeparable(8, 3), "sep8k3x2", (8, 7, 5), 32, 6 * 9 + 6 * 8 + 8 * 9 + 8 * 8),
        (StackedSeparable(8, 5, 2), "sep8k5s2x2", (8, 4, 3), 32, 6 * 25 + 6 * 8 + 8 * 25 + 8 * 8),
        (StackedSeparable(8, 3, 2, 2, 1), "dil8k3s2", (8, 4, 3), 16, 6 * 9 + 6 * 8),
        (StackedSeparable(8, 3, affine=False), "sep8k3x2", (8, 7, 5), 0, 6 * 9 + 6 * 8 + 8 * 9 + 8 * 8),
    ],
)
def test_shapes_and_costs_by_hand(layer, label, after, params, weights):
    shape = (6, 7, 5)
    assert (layer.label, layer.output_shape(shape)) == (label, after)
    assert layer.params(shape) == weights + params
    assert layer.flops(shape) == weights * after[1] * after[2]


def test_the_count_of_a_width_is_the_published_one():
    # 2 (k^2 c + c^2 + 2 c) twice, k^2 c + c^2 + 2 c once.
    assert StackedSeparable(36, 5).params((36, 8, 8)) == 2 * (25 * 36 + 36 * 36 + 72)
    assert StackedSeparable(36, 5, dilation=2, stacks=1).params((36, 8, 8)) == 25 * 36 + 36 * 36 + 72


def test_relu_stands_first_and_the_stride_in_the_first_stack():
    module = build_layer(StackedSeparable(4, 3, 2), (2, 8, 8))
    assert [type(part) for part in module] == [nn.ReLU, nn.Conv2d, nn.Conv2d, nn.BatchNorm2d] * 2
    assert [(part.stride, part.groups) for part in module if isinstance(part, nn.Conv2d)] == [
        ((2, 2), 2), ((1, 1), 1), ((1, 1), 4), ((1, 1), 1),
    ]  # fmt: skip


def test_pixels_of_a_dilated_one_are_two_apart():
    module = build_layer(StackedSeparable(1, 3, dilation=2, stacks=1), (1, 7, 7)).eval()
    for part in module[1:3]:
        nn.init.ones_(part.weight)
    image = torch.ones(1, 1, 7, 7, requires_grad=True)
    module(image)[0, 0, 3, 3].backward()
    assert image.grad[0, 0].nonzero().tolist() == [[row, column] for row in (1, 3, 5) for column in (1, 3, 5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 4), "kernel of a StackedSeparable is 4; it must be odd"),
        ((8, 3, 0), "stride of a StackedSeparable is 0"),
        ((8, 3, 1, 1, 0), "stacks of a StackedSeparable is 0"),
        ((8, 3, 1, 1, 2, 1), "affine of a StackedSeparable is 1; it must be True or False"),
    ],
)
def test_what_cannot_be_a_layer(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        StackedSeparable(*arguments)


def test_it_is_illegal_where_a_side_is_below_the_stride():
    with pytest.raises(SpaceError, match="sep8k3s2x2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        StackedSeparable(8, 3, 2).flops((4, 1, 8))
