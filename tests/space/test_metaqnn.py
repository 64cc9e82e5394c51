import re

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.networks.trie import PrefixNetwork
from replaytree.space.building import build_layer
from replaytree.space.catalogue import about, named_space
from replaytree.space.coding import ended, legal_actions
from replaytree.space.layers import BiasedConvolution, Ending, FullyConnected, UnpaddedPooling
from replaytree.space.metaqnn import size_bin
from replaytree.space.trie import head_shape, head_units, trie_cost

FILTERS = ["conv64", "conv128", "conv256", "conv512"]


def space(sides=28, max_layers=12, **options):
    return named_space("metaqnn", input_shape=(3, sides, sides), num_classes=10, max_layers=max_layers, **options)


def after(text, **sizes):
    """The labels that may follow a path."""
    own = space(**sizes)
    path = own.parse(text) if text else ()
    return [own.label(path, action) for action in legal_actions(own, path)]


def convolutions(kernels):
    return [f"{filters}k{kernel}" for filters in FILTERS for kernel in kernels]


@pytest.mark.parametrize(
    ("path", "sides", "expected"),
    [
        # Of 8 pixels and more: no fully connected layers, no pooling in the first place.
        ("", 8, [*convolutions((1, 3, 5)), "softmax", "gap"]),
        ("conv64k1", 8, [*convolutions((1, 3, 5)), "pool5s3", "pool3s2", "pool2s2", "softmax", "gap"]),
        # Of 4 to 7 pixels: fully connected layers, and pooling that fits 4 pixels.
        ("conv64k1", 7, [*convolutions((1, 3, 5)), "pool3s2", "pool2s2", "fc512", "fc256", "fc128", "softmax", "gap"]),
        ("conv64k1", 4, [*convolutions((1, 3)), "pool3s2", "pool2s2", "fc512", "fc256", "fc128", "softmax", "gap"]),
        # Of 1 to 3 pixels: no pooling.
        ("conv64k1", 3, [*convolutions((1, 3)), "fc512", "fc256", "fc128", "softmax", "gap"]),
        ("conv64k1", 2, [*convolutions((1,)), "fc512", "fc256", "fc128", "softmax", "gap"]),
        # Never twice in a row: 14 pixels behind the pooling.
        ("conv64k1 pool2s2", 28, [*convolutions((1, 3, 5)), "softmax", "gap"]),
        # Fully connected layers never grow, and there are at most two.
        ("fc512", 4, ["fc512", "fc256", "fc128", "softmax"]),
        ("conv64k1 fc256", 4, ["fc256", "fc128", "softmax"]),
        ("fc256 fc256", 4, ["softmax"]),
        ("softmax", 28, []),
        ("conv64k1 gap", 28, []),
    ],
)
def test_what_may_follow(path, sides, expected):
    assert after(path, sides=sides) == expected


def test_a_path_ends_behind_an_ending_and_at_the_limit():
    own = space(max_layers=2)
    paths = ["softmax", "conv64k3 gap", "conv64k3 conv64k3"]
    assert [ended(own, own.parse(text)) for text in [*paths, "conv64k3"]] == [True, True, True, False]
    with pytest.raises(SpaceError, match="layer 2 is illegal there: the path has ended before it"):
        own.check((*own.parse("softmax"), 0))


@pytest.mark.parametrize(("sides", "bin_"), [((8, 8), 8), ((28, 7), 4), ((4, 9), 4), ((3, 3), 1), ((1, 8), 1)])
def test_bins_are_of_the_smaller_side(sides, bin_):
    assert size_bin((3, *sides)) == bin_


@pytest.mark.parametrize(
    ("layer", "shape", "expected", "params", "flops"),
    [
        (BiasedConvolution(64, 3), (3, 7, 5), (64, 7, 5), 27 * 64 + 64, 27 * 64 * 35),
        (BiasedConvolution(64, 5, 0.25), (3, 5, 5), (16, 5, 5), 75 * 16 + 16, 75 * 16 * 25),
        (UnpaddedPooling(5, 3), (8, 28, 7), (8, 8, 1), 0, 0),
        (UnpaddedPooling(3, 2), (8, 8, 3), (8, 3, 1), 0, 0),
        (UnpaddedPooling(2, 2), (8, 7, 2), (8, 3, 1), 0, 0),
        (FullyConnected(128), (8, 3, 2), (128, 1, 1), 49 * 128, 48 * 128),
        (FullyConnected(128, 0.5), (8, 1, 1), (64, 1, 1), 9 * 64, 8 * 64),
        (Ending("softmax"), (8, 3, 2), (48, 1, 1), 0, 0),
        (Ending("gap"), (8, 3, 2), (8, 1, 1), 0, 0),
    ],
)
def test_layers_by_hand_and_as_modules(layer, shape, expected, params, flops):
    assert (layer.output_shape(shape), layer.params(shape), layer.flops(shape)) == (expected, params, flops)
    module = build_layer(layer, shape)
    assert sum(weight.numel() for weight in module.parameters()) == params
    images = torch.rand(2, *shape)
    before = images.clone()
    assert module(images).shape == (2, *expected)
    torch.testing.assert_close(images, before)
    again = eval(layer.source(shape), {"nn": torch.nn})
    again.load_state_dict(module.state_dict())
    torch.testing.assert_close(again(images), module(images))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (BiasedConvolution(64, 5), (3, 4, 8), "conv64k5 is illegal here: a kernel of 5 needs sides of at least that"),
        (UnpaddedPooling(3, 2), (3, 8, 2), "pool3s2 is illegal here: a kernel of 3 needs sides of at least that"),
    ],
)
def test_kernels_must_fit(layer, shape, message):
    assert layer.output_shape(shape) is None
    with pytest.raises(SpaceError, match=re.escape(message)):
        build_layer(layer, shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BiasedConvolution(64, 4), "kernel of a BiasedConvolution is 4; it must be odd"),
        (lambda: FullyConnected(0), "units of a FullyConnected is 0; it must be a whole number of at least 1"),
        (lambda: FullyConnected(128, 0.001), "width is 0.001, which leaves 128 channels none"),
        (lambda: UnpaddedPooling(2, 0), "stride of an UnpaddedPooling is 0"),
        (lambda: Ending("sum"), "kind of an Ending is 'sum'; it must be 'softmax' or 'gap'"),
    ],
)
def test_what_cannot_be_a_layer(make, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        make()


def test_an_unfinished_prefix_is_the_network_with_softmax_and_gap_reads_averages():
    own = space(sides=6)
    whole, finished, averaged = (own.parse(text) for text in ("conv64k3", "conv64k3 softmax", "conv64k3 gap"))
    assert own.cost(whole) == own.cost(finished) == (28 * 64 + (64 * 36 + 1) * 10, 27 * 64 * 36 + 64 * 36 * 10)
    assert own.cost(averaged)[0] == 28 * 64 + 65 * 10
    images = torch.rand(2, 3, 6, 6)
    network, same = own.build(whole), own.build(finished)
    same.load_state_dict(network.state_dict(), strict=False)
    for ours, theirs in zip(same.parameters(), network.parameters(), strict=True):
        ours.data.copy_(theirs.data)
    torch.testing.assert_close(same(images), network(images))


def test_the_published_networks_have_the_counted_parameters():
    counts = [each.params for each in about("metaqnn").published.values()]
    assert counts == [11_263_754, 2_218_954, 2_456_586, 1_126_154, 1_617_930]
    for each in about("metaqnn").published.values():
        own = space(max_layers=10)
        path = own.parse(each.path)
        assert own.cost(path)[0] == each.params
        assert sum(weight.numel() for weight in own.build(path).parameters()) == each.params


def test_the_width_is_of_filters_and_units():
    own = space(sides=6, width=0.25)
    graph = own.network(own.parse("conv64k1 fc256 softmax"))
    assert graph.shapes == ((16, 6, 6), (64, 1, 1), (64, 1, 1))
    with pytest.raises(SpaceError, match=r"width is 0\.001, which leaves 64 channels none"):
        space(width=0.001)


def test_a_layer_that_there_is_not():
    with pytest.raises(SpaceError, match="layer 2 is 'conv32k3'; the layers are conv64k1, "):
        space().parse("conv64k1 conv32k3")


def test_in_a_trie_every_prefix_has_the_head_of_its_network():
    """An unfinished one, too: as averages of cells, it would not see where in the image things are."""
    own = space(sides=6, width=0.25)
    softmax, gap = own.parse("conv64k3 softmax"), own.parse("conv64k3 gap")
    assert [head_units(own, path) for path in (softmax[:1], softmax, gap)] == [0, 0, 0]
    assert [head_shape(own, path) for path in (softmax[:1], softmax, gap)] == [(576, 1, 1), (576, 1, 1), (16, 1, 1)]
    network = PrefixNetwork(own, [softmax, gap], 10)
    cost = trie_cost(own, [softmax, gap])
    assert sum(parameter.numel() for parameter in network.parameters()) == cost.params
    # The convolution; two linear heads of 16 x 36 values, unfinished and ended, and one of 16 averages.
    assert cost.params == 28 * 16 + 577 * 10 + 577 * 10 + 17 * 10
    # Forward, one image: the convolution, and the heads' multiply-adds.
    assert cost.flops == 27 * 16 * 36 + 576 * 10 * 2 + 16 * 10
    images = torch.rand(3, 3, 6, 6)
    logits = network(images)
    for path in (softmax[:1], softmax, gap):
        alone = own.build(path)
        place = network.nodes.index(path)
        weights = list(network.layers[network.nodes.index(path[:1])].parameters())
        weights += _head(network, place)
        for ours, theirs in zip(alone.parameters(), weights, strict=True):
            ours.data.copy_(theirs.data)
        torch.testing.assert_close(logits[place], alone(images))


def _head(network, place):
    """Weight (classes, values) and bias of a linear head."""
    [(row, alike)] = [
        (places.index(place), kind)
        for places, kind in zip(network.heads._alike, network.heads.kinds, strict=True)
        if place in places
    ]
    return alike.weight[row].T, alike.bias[row, 0]
