"""What layers do when they are deployed: the memory of 8-bit networks, worked by hand."""

import math

import pytest
from torch import nn

from replaytree.space.building import build_layer
from replaytree.space.catalogue import named_space
from replaytree.space.costs import costs_of
from replaytree.space.graph import IMAGE, Graph, GraphNode, chain
from replaytree.space.layers import (
    AuxiliaryClassifier,
    BiasedConvolution,
    Classifier,
    Concatenation,
    Convolution,
    CustomLayer,
    Ending,
    FactorizedReduction,
    FullyConnected,
    InvertedResidual,
    NormedConvolution,
    NormedPooling,
    NormedSum,
    Pointwise,
    PooledConvolution,
    Pooling,
    RectangularConvolution,
    Rectifier,
    ResidualBlock,
    SeparableConvolution,
    ShapedConvolution,
    SplitConvolution,
    StackedSeparable,
    Sum,
    UnpaddedPooling,
    Unrolled,
)
from replaytree.space.layers.operation import Operation, joined
from replaytree.space.memory import alive_numbers

MAP = 4 * 6 * 6


@pytest.mark.parametrize(
    ("layer", "ram", "weights", "biases"),
    [
        # Each between a map of 4x6x6 and a head of 2 classes: RAM of the whole; weights and biases of the layer.
        (Convolution(8, 3), MAP + 8 * 36, 4 * 8 * 9, 8),
        (Convolution(8, 4), MAP + 8 * 36, 4 * 8 * 16, 8),
        (ShapedConvolution(8, 1, 5), MAP + 8 * 36, 4 * 8 * 5, 8),
        (BiasedConvolution(8, 3), MAP + 8 * 36, 4 * 8 * 9, 8),
        # Batch norm stands behind ReLU: a factor and a bias a channel, in place.
        (RectangularConvolution(8, 3, 5), MAP + 8 * 36, 4 * 8 * 15 + 8, 8),
        # A pooling of stride 1 has a map of its own, beside the convolution's.
        (PooledConvolution(8, 3, pool=2), 2 * 8 * 36, 4 * 8 * 9, 8),
        (PooledConvolution(8, 3), MAP + 8 * 36, 4 * 8 * 9, 8),
        (Pooling("max", 2, 2), MAP + 4 * 9, 0, 0),
        (UnpaddedPooling(3, 3), MAP + 4 * 4, 0, 0),
        (NormedPooling("avg", 3, 1), 2 * MAP, 4, 4),
        # The depthwise map and the output, without the input.
        (SeparableConvolution(8, 3), MAP + 8 * 36, 4 * 9 + 4 * 8, 4 + 8),
        # The input waits for the addition while 16 channels become 16.
        (InvertedResidual(4, 4), MAP + 2 * 16 * 36, 4 * 16 + 16 * 9 + 16 * 4, 16 + 16 + 4),
        # Nothing is added: the expanded map of 6x6 and that of 3x3.
        (InvertedResidual(4, 4, stride=2), 16 * 36 + 16 * 9, 4 * 16 + 16 * 9 + 16 * 4, 16 + 16 + 4),
        # The input, the first convolution's map and the second's; the addition is in place.
        (ResidualBlock(4), 3 * MAP, 2 * 9 * 16, 8),
        (ResidualBlock(8), MAP + 2 * 8 * 36, 9 * 4 * 8 + 9 * 64 + 4 * 8, 24),
        # Both halves and the whole.
        (FactorizedReduction(8, relu=True), MAP + 2 * 4 * 9, 4 * 8, 8),
        (NormedConvolution(8, 3, separable=True, relu="before"), MAP + 8 * 36, 4 * 9 + 4 * 8, 8),
        (StackedSeparable(8, 3), 2 * 8 * 36, 4 * 9 + 4 * 8 + 8 * 9 + 8 * 8, 16),
        (SplitConvolution(8), 2 * 36 + 8 * 36, 4 * 2 + 2 * 2 * 7 + 2 * 2 * 7 + 2 * 8, 2 + 2 + 2 + 8),
        (Pointwise(8), MAP + 8 * 36, 4 * 8, 0),
        (Rectifier(), MAP + 4, 0, 0),
        (Unrolled(), MAP + 4, 0, 0),
        (Ending("softmax"), MAP + MAP, 0, 0),
        (Ending("gap"), MAP + 4, 0, 0),
        (FullyConnected(8), MAP + 8, MAP * 8, 8),
        (NormedSum(), MAP + 4, 4, 4),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_memory_by_hand(layer, ram, weights, biases):
    graph = chain([layer], input_shape=(4, 6, 6), head=Classifier(2))
    assert graph.ram_bytes == ram
    read = graph.end_shape[0]
    assert graph.flash_bytes == weights + 4 * biases + 2 * read + 4 * 2
    assert graph.operations[-3].makes == math.prod(graph.end_shape)


WEIGHTY = [
    Convolution(8, 4, 2), ShapedConvolution(8, 3, 3, dilation=2), BiasedConvolution(8, 3), PooledConvolution(8, 3, 2),
    SeparableConvolution(8, 5, 2), InvertedResidual(8, 3), ResidualBlock(8, 2), FactorizedReduction(9),
    NormedConvolution(8, 3, separable=True), StackedSeparable(8, 3, 2, 2, 1), SplitConvolution(8, stride=2),
    SplitConvolution(3), Pointwise(8), FullyConnected(8), Classifier(7), Classifier(7, "flatten", bias=False),
    AuxiliaryClassifier(7),
]  # fmt: skip


@pytest.mark.parametrize("layer", WEIGHTY, ids=repr)
def test_weights_are_those_of_the_module(layer):
    """And there is a bias for each channel of a convolution before batch norm, or of one that has biases."""
    shape = (4, 6, 6)
    parts = [part for part in build_layer(layer, shape).modules() if not list(part.children())]
    matrices = [part.weight for part in parts if isinstance(part, nn.Conv2d | nn.Linear)]
    norms = [part.num_features for part in parts if isinstance(part, nn.BatchNorm2d)]
    biases = [len(part.bias) for part in parts if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None]
    found = layer.operations(shape)
    assert sum(each.weights for each in found) == sum(matrix.numel() for matrix in matrices)
    assert sum(each.biases for each in found) == sum(norms) + sum(biases)
    assert found[-1].makes == math.prod(layer.output_shape(shape))


def skips(*nodes, ends, merge=None):
    made = (GraphNode(f"a{place}", layer, inputs, 1) for place, (layer, inputs) in enumerate(nodes))
    return Graph((4, 6, 6), tuple(made), ends, Classifier(2), merge)


def test_what_is_read_later_stays_and_is_not_written_over():
    # ReLU of a map that is read again needs a map of its own.
    relu = skips((Convolution(4, 3), (IMAGE,)), (Rectifier(), (0,)), (Sum(), (0, 1)), ends=(2,))
    assert relu.ram_bytes == 2 * MAP
    # Where the image is added at the end, it is a third.
    image = skips((Convolution(4, 3), (IMAGE,)), (Rectifier(), (0,)), (Sum(), (0, 1, IMAGE)), ends=(2,))
    assert image.ram_bytes == 3 * MAP
    # Two loose ends of 4 and 8 channels and their concatenation, copies all.
    ends = skips((Convolution(4, 3), (IMAGE,)), (Convolution(8, 3), (0,)), ends=(0, 1), merge=Concatenation())
    assert ends.ram_bytes == (4 + 8 + 12) * 36
    # A batch norm behind a sum is in place; its factors and biases are its own.
    normed = skips((Pointwise(4), (IMAGE,)), (Pointwise(4), (IMAGE,)), (NormedSum(), (0, 1)), ends=(2,))
    # ReLU cannot overwrite the image before the second convolution has read it.
    assert normed.ram_bytes == 3 * MAP
    assert normed.flash_bytes == 2 * 16 + 4 + 4 * 4 + 2 * 4 + 4 * 2


def test_a_layer_that_only_torch_knows_leaves_the_memory_unknown():
    own = CustomLayer("own", lambda shape: nn.Conv2d(4, 8, 3, padding=1))
    graph = chain([Convolution(4, 3), own], input_shape=(4, 6, 6), head=Classifier(2))
    assert (graph.operations, graph.ram_bytes, graph.flash_bytes) == (None, None, None)
    assert graph.params == 4 * 4 * 9 + 8 + (4 * 8 * 9 + 8) + 9 * 2


@pytest.mark.parametrize("name", ["xu24", "tiny", "nascell", "metaqnn"])
def test_the_memory_of_a_chain_is_that_of_its_operations(name, random_paths):
    """One layer after the other as if all were one."""
    space = named_space(name, input_shape=(3, 9, 7), num_classes=5, max_layers=4)
    for path in random_paths(space, 10, seed=3):
        graph = space.network(path)
        assert graph.is_chain
        assert graph.ram_bytes == alive_numbers(graph.operations, {IMAGE: 3 * 9 * 7})
        assert graph.flash_bytes == sum(each.weights + 4 * each.biases for each in graph.operations)
        known = costs_of(space, path, ("ram_bytes", "flash_bytes"))
        assert known == {"ram_bytes": graph.ram_bytes, "flash_bytes": graph.flash_bytes}


def test_layers_are_joined_by_what_they_read():
    first = (Operation(3), Operation(5, reads=(0, -1)))
    second = (Operation(7, reads=(-1, -2)),)
    assert [each.reads for each in joined([((-1,), first), ((0, -1), second)])] == [(-1,), (0, -1), (1, -1)]
