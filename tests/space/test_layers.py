import re

import numpy as np
import pytest

from replaytree.errors import SpaceError
from replaytree.space import Convolution, CustomLayer, Pooling, ResidualBlock
from replaytree.space.layers import FactorizedReduction, NormedConvolution


@pytest.mark.parametrize(
    ("layer", "label"),
    [
        (Convolution(32, 3), "conv32k3"),
        (Convolution(128, 4), "conv128k4"),
        (Convolution(32, 3, 2), "conv32k3s2"),
        (Convolution(32, 3, width=0.25), "conv32k3"),
        (ResidualBlock(64), "res64"),
        (ResidualBlock(64, 2), "res64s2"),
        (ResidualBlock(64, 2, width=0.5), "res64s2"),
        (Pooling("avg", 2, 2), "avg2s2"),
        (Pooling("max", 3, 1), "max3s1"),
        (NormedConvolution(36, 3), "conv36k3"),
        (NormedConvolution(36, 5, separable=True), "sep36k5"),
        (FactorizedReduction(72), "reduce72"),
    ],
)
def test_labels(layer, label):
    assert layer.label == label


@pytest.mark.parametrize(
    ("layer", "shape", "after", "params", "flops"),
    [
        (Convolution(32, 3), (3, 32, 32), (32, 32, 32), 3 * 32 * 9 + 64, 3 * 32 * 9 * 1024),
        (Convolution(32, 3, 2), (3, 32, 32), (32, 16, 16), 3 * 32 * 9 + 64, 3 * 32 * 9 * 256),
        (Convolution(64, 4), (3, 7, 5), (64, 7, 5), 3 * 64 * 16 + 128, 3 * 64 * 16 * 35),
        (Convolution(64, 3, 2), (3, 7, 5), (64, 4, 3), 3 * 64 * 9 + 128, 3 * 64 * 9 * 12),
        (Convolution(32, 5, width=0.5), (1, 1, 1), (16, 1, 1), 16 * 25 + 32, 16 * 25),
        (ResidualBlock(64), (64, 8, 8), (64, 8, 8), 2 * 36864 + 256, 2 * 36864 * 64),
        (ResidualBlock(64), (32, 8, 8), (64, 8, 8), 18432 + 36864 + 2048 + 384, 57344 * 64),
        (ResidualBlock(64, 2), (64, 7, 5), (64, 4, 3), 2 * 36864 + 4096 + 384, 77824 * 12),
        (NormedConvolution(8, 5), (4, 7, 5), (8, 7, 5), 4 * 8 * 25 + 16, 4 * 8 * 25 * 35),
        (NormedConvolution(8, 5, True), (4, 7, 5), (8, 7, 5), 4 * 25 + 4 * 8 + 16, (4 * 25 + 4 * 8) * 35),
        (FactorizedReduction(8), (4, 7, 5), (8, 4, 3), 4 * 8 + 16, 4 * 8 * 12),
        (Pooling("avg", 2, 2), (32, 7, 5), (32, 3, 2), 0, 0),
        (Pooling("max", 3, 2), (32, 7, 5), (32, 4, 3), 0, 0),
        (Pooling("avg", 3, 1), (32, 7, 5), (32, 7, 5), 0, 0),
        (Pooling("max", 2, 1), (32, 7, 5), (32, 6, 4), 0, 0),
    ],
)
def test_shapes_and_costs_by_hand(layer, shape, after, params, flops):
    assert layer.output_shape(shape) == after
    assert layer.params(shape) == params
    assert layer.flops(shape) == flops


@pytest.mark.parametrize("shape", [(8, 1, 1), (8, 5, 1), (8, 1, 5)])
@pytest.mark.parametrize(
    "layer",
    [Convolution(8, 3, 2), ResidualBlock(8, 2), Pooling("avg", 2, 2), Pooling("max", 3, 2), FactorizedReduction(8)],
)
def test_stride_2_is_illegal_where_a_side_has_one_pixel(layer, shape):
    assert layer.output_shape(shape) is None
    with pytest.raises(SpaceError, match=rf"{layer.label} is illegal here: stride 2 needs sides of at least 2 pixels"):
        layer.flops(shape)


def test_a_pooling_that_leaves_no_pixels_is_illegal():
    layer = Pooling("max", 2, 1)
    assert layer.output_shape((8, 1, 4)) is None
    assert layer.why_illegal((8, 1, 4)) == "it would leave no pixels where the feature map is 8x1x4"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution(0, 3), "channels of a Convolution is 0; it must be a whole number of at least 1"),
        (lambda: Convolution(32, 3.0), "kernel of a Convolution is 3.0; it must be a whole number"),
        (lambda: Convolution(32, 3, True), "stride of a Convolution is True; it must be a whole number"),
        (lambda: ResidualBlock(32, 0), "stride of a ResidualBlock is 0"),
        (
            lambda: ResidualBlock(32, width=1e300),
            "width is 1e+300, which makes 32 channels more than 1,048,576; it must be at most 32768 (--width)",
        ),
        (lambda: Convolution(2**20, 3, width=1.01), "it must be at most 1 (--width)"),
        (
            lambda: Convolution(32, 10**30),
            "kernel of a Convolution is more than 1,048,576; it must be a whole number of at most that",
        ),
        (lambda: ResidualBlock(32, width=0.0), "width is 0.0; it must be a number over 0 (--width)"),
        (lambda: Convolution(32, 3, width=float("nan")), "width is nan; it must be a number over 0 (--width)"),
        (
            lambda: Convolution(32, 3, width=0.01),
            "width is 0.01, which leaves 32 channels none; it must be at least 0.03125 (--width)",
        ),
        (lambda: Pooling("mean", 2, 2), "kind of a Pooling is 'mean'; it must be 'avg' or 'max'"),
        (lambda: Pooling("avg", 2, 0), "stride of a Pooling is 0"),
        (lambda: NormedConvolution(8, 2), "kernel of a NormedConvolution is 2; it must be "),
        (lambda: NormedConvolution(0, 3), "channels of a NormedConvolution is 0"),
        (lambda: NormedConvolution(8, 3, 1), "separable of a NormedConvolution is 1; it must be True or False"),
        (lambda: NormedConvolution(8, 3, relu="off"), "is 'off'; it must be before, after, both, none"),
        (lambda: FactorizedReduction(1), "channels of a FactorizedReduction is 1; it must be a whole number of at"),
        (lambda: CustomLayer("a b", None), "label 'a b' has white space or a comma in it; use '_' or '-' instead"),
        (lambda: CustomLayer("a,b", None), "label 'a,b' has white space or a comma"),
        (lambda: CustomLayer("", None), "label '' is not a name; give each layer a text"),
        (lambda: CustomLayer(3, None), "label 3 is not a name"),
    ],
)
def test_what_cannot_be_a_layer(make, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        make()


def test_custom_layer_with_everything_given_needs_no_torch():
    layer = CustomLayer(
        "half",
        builder=lambda shape: pytest.fail("built"),
        output_shape=lambda shape: None if min(shape[1:]) < 2 else (shape[0], shape[1] // 2, shape[2] // 2),
        cost=lambda shape: (shape[0], 7),
    )
    assert layer.output_shape((4, 8, 6)) == (4, 4, 3)
    assert layer.output_shape((4, 1, 6)) is None
    assert (layer.params((4, 8, 6)), layer.flops((4, 8, 6))) == (4, 7)
    assert layer.why_illegal((4, 1, 6)) == "its output_shape is None where the feature map is 4x1x6"
    assert repr(layer) == "CustomLayer('half')"


@pytest.mark.parametrize("wrong", [(4, 8), 5, {4: 1, 8: 2, 7: 3}])
def test_custom_layer_with_a_wrong_output_shape(wrong):
    layer = CustomLayer("odd", builder=lambda shape: None, output_shape=lambda shape: wrong)
    message = f"the output shape of layer 'odd' is {wrong!r}; it must be (channels, height, width), each at least 1"
    with pytest.raises(SpaceError, match=re.escape(message)):
        layer.output_shape((4, 8, 8))


@pytest.mark.parametrize(
    ("output_shape", "cost", "message"),
    [
        (lambda shape: (4, 8, 0), None, "width of the output shape of layer 'odd' is 0; it must be a whole number of"),
        (lambda shape: (4, 8.5, 8), None, "height of the output shape of layer 'odd' is 8.5"),
        (lambda shape: shape["a"], None, "the output shape of layer 'odd' cannot be had: TypeError: tuple indices"),
        (lambda shape: shape, lambda shape: (1, float("inf")), "FLOPs of the cost of layer 'odd' is inf"),
        (lambda shape: shape, lambda shape: 5, r"the cost of layer 'odd' is 5; it must be \(parameters, FLOPs\)"),
    ],
)
def test_what_a_custom_layer_returns_is_named_where_it_cannot_be(output_shape, cost, message):
    layer = CustomLayer("odd", builder=lambda shape: None, output_shape=output_shape, cost=cost)
    with pytest.raises(SpaceError, match=message):
        layer.output_shape((4, 8, 8)) and layer.flops((4, 8, 8))


def test_a_custom_layer_may_count_with_numpy():
    layer = CustomLayer(
        "odd", builder=lambda shape: None, output_shape=np.array, cost=lambda shape: np.array(shape[:2]) * 2.0
    )
    shape, params = layer.output_shape((4, 8, 6)), layer.params((4, 8, 6))
    assert (shape, params) == ((4, 8, 6), 8)
    assert {type(value) for value in (*shape, params)} == {int}
