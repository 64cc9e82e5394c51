import re

import pytest
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import SplitConvolution


@pytest.mark.parametrize("shape", [(3, 8, 7), (8, 2, 5)])
@pytest.mark.parametrize(
    "layer", [SplitConvolution(8), SplitConvolution(8, 7, 2), SplitConvolution(3, 3, 2)], ids=lambda layer: layer.label
)
def test_it_agrees_with_its_module_and_source(agrees, layer, shape):
    agrees(layer, shape)


@pytest.mark.parametrize(
    ("layer", "label", "after", "params", "flops"),
    [
        (SplitConvolution(8), "split8k7", (8, 7, 5), 12 + 28 + 28 + 16 + 4 * 3 + 16, (12 + 28 + 28 + 16) * 35),
        # Columns are halved by the second convolution, rows by the third.
        (
            SplitConvolution(8, 7, 2), "split8k7s2", (8, 4, 3), 12 + 28 + 28 + 16 + 4 * 3 + 16,
            12 * 35 + 28 * 21 + 28 * 12 + 16 * 12,
        ),
        # Three channels have no quarter.
        (SplitConvolution(3, 5), "split3k5", (3, 7, 5), 6 * 3 * 5 + 3 * 3 * 5 + 12, (90 + 45) * 35),
    ],
)  # fmt: skip
def test_shapes_and_costs_by_hand(layer, label, after, params, flops):
    shape = (6, 7, 5)
    assert (layer.label, layer.output_shape(shape)) == (label, after)
    assert (layer.params(shape), layer.flops(shape)) == (params, flops)


def test_what_stands_in_it():
    module = build_layer(SplitConvolution(8, 7, 2), (6, 8, 8))
    assert [type(part) for part in module] == [nn.ReLU, nn.Conv2d, nn.BatchNorm2d] * 4
    assert [(part.kernel_size, part.stride) for part in module if isinstance(part, nn.Conv2d)] == [
        ((1, 1), (1, 1)), ((1, 7), (1, 2)), ((7, 1), (2, 1)), ((1, 1), (1, 1)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "channels of a SplitConvolution is 0"),
        ((8, 4), "length of a SplitConvolution is 4; it must be odd"),
        ((8, 7, 0), "stride of a SplitConvolution is 0"),
    ],
)
def test_what_cannot_be_a_layer(arguments, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        SplitConvolution(*arguments)


def test_it_is_illegal_where_a_side_is_below_the_stride():
    with pytest.raises(SpaceError, match="split8k7s2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        SplitConvolution(8, 7, 2).flops((4, 1, 8))
