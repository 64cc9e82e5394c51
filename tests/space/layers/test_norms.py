"""Batch norms without numbers to train, strides and ReLUs of the layers that cells are made of."""

import re

import pytest
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space.building import build_layer
from replaytree.space.layers import FactorizedReduction, NormedConvolution, NormedPooling


@pytest.mark.parametrize("shape", [(4, 8, 6), (3, 5, 3)])
@pytest.mark.parametrize(
    "layer",
    [
        FactorizedReduction(6, relu=True),
        FactorizedReduction(6, affine=False),
        NormedConvolution(6, 1, relu="before", affine=False),
        NormedConvolution(6, 1, relu="before", stride=2),
        NormedConvolution(6, 3, True, "both", stride=2),
        NormedPooling("avg", 3, 1),
        NormedPooling("max", 3, 2),
    ],
    ids=repr,
)
def test_they_agree_with_their_modules_and_sources(agrees, layer, shape):
    agrees(layer, shape)


@pytest.mark.parametrize(
    ("layer", "after", "params"),
    [
        (FactorizedReduction(8, relu=True), (8, 4, 3), 4 * 8 + 16),
        (FactorizedReduction(8, affine=False), (8, 4, 3), 4 * 8),
        (NormedConvolution(8, 1, affine=False), (8, 7, 5), 4 * 8),
        (NormedConvolution(8, 1, stride=2), (8, 4, 3), 4 * 8 + 16),
        (NormedPooling("avg", 3, 2), (4, 4, 3), 0),
    ],
)
def test_shapes_and_parameters_by_hand(layer, after, params):
    assert (layer.output_shape((4, 7, 5)), layer.params((4, 7, 5))) == (after, params)


def test_a_pooling_is_normed_behind_it():
    pooling, norm = build_layer(NormedPooling("avg", 3, 2), (4, 8, 8))
    assert (type(pooling), pooling.stride, type(norm), norm.affine) == (nn.AvgPool2d, 2, nn.BatchNorm2d, False)
    assert NormedPooling("max", 3, 2).label == "max3s2norm"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FactorizedReduction(8, relu=1), "relu of a FactorizedReduction is 1; it must be True or False"),
        (lambda: FactorizedReduction(8, affine=0), "affine of a FactorizedReduction is 0"),
        (lambda: NormedConvolution(8, 1, affine="no"), "affine of a NormedConvolution is 'no'"),
        (lambda: NormedConvolution(8, 1, stride=0), "stride of a NormedConvolution is 0"),
        (lambda: NormedPooling("mean", 3, 1), "kind of a Pooling is 'mean'"),
    ],
)
def test_what_cannot_be_a_layer(make, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        make()


def test_a_stride_needs_as_many_pixels():
    with pytest.raises(SpaceError, match="conv8k1s2 is illegal here: stride 2 needs sides of at least 2 pixels"):
        NormedConvolution(8, 1, stride=2).flops((4, 1, 8))
