import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from replaytree.errors import SpaceError
from replaytree.space import ConstrainedSpace
from replaytree.space.catalogue import named_space
from replaytree.space.coding import count, is_legal, legal_actions
from replaytree.space.layers import (
    Convolution,
    InvertedResidual,
    Pooling,
    SeparableConvolution,
    ShapedConvolution,
)

SPACE = named_space("tiny", input_shape=(3, 32, 32), num_classes=10, max_layers=6)
KINDS, CHANNELS, STRIDES = (decision.options for decision in SPACE.decisions(1))


@pytest.mark.parametrize(
    ("label", "layer", "costs"),
    [
        # Behind conv3-16, on 16x32x32; the batch norms have two numbers a channel.
        ("separable3-24", SeparableConvolution(24, 3), (16 * 9 + 16 * 24 + 80, (144 + 384) * 1024)),
        ("separable5-24-s2", SeparableConvolution(24, 5, 2), (16 * 25 + 16 * 24 + 80, (400 + 384) * 256)),
        ("inverted2-16", InvertedResidual(16, 2), (512 + 288 + 512 + 160, (512 + 288 + 512) * 1024)),
        (
            "inverted4-24-s2",
            InvertedResidual(24, 4, 2),
            (1024 + 576 + 1536 + 304, 1024 * 1024 + (576 + 1536) * 256),
        ),
        ("inverted6-8", InvertedResidual(8, 6), (1536 + 864 + 768 + 400, (1536 + 864 + 768) * 1024)),
        ("dilated3-8", ShapedConvolution(8, 3, 3, dilation=2), (9 * 16 * 8 + 16, 9 * 16 * 8 * 1024)),
        ("conv3-8-s2", Convolution(8, 3, 2), (9 * 16 * 8 + 16, 9 * 16 * 8 * 256)),
        ("conv1x3-8", ShapedConvolution(8, 1, 3), (3 * 16 * 8 + 16, 3 * 16 * 8 * 1024)),
        ("conv3x1-8", ShapedConvolution(8, 3, 1), (3 * 16 * 8 + 16, 3 * 16 * 8 * 1024)),
        ("conv1x5-64", ShapedConvolution(64, 1, 5), (5 * 16 * 64 + 128, 5 * 16 * 64 * 1024)),
        ("conv5x1-8-s2", ShapedConvolution(8, 5, 1, 2), (5 * 16 * 8 + 16, 5 * 16 * 8 * 256)),
        ("avg3-s2", Pooling("avg", 3, 2), (0, 0)),
        ("max3", Pooling("max", 3, 1), (0, 0)),
    ],
)
def test_every_kind_by_hand(label, layer, costs):
    before, after = SPACE.network(SPACE.parse("conv3-16")), SPACE.network(SPACE.parse(f"conv3-16 {label}"))
    assert after.nodes[1].layer == layer
    heads = [graph.head.params(graph.end_shape) for graph in (before, after)]
    assert after.params - heads[1] - (before.params - heads[0]) == costs[0]
    heads = [graph.head.flops(graph.end_shape) for graph in (before, after)]
    assert after.flops - heads[1] - (before.flops - heads[0]) == costs[1]


def test_a_whole_network_is_what_torch_counts():
    path = SPACE.parse("conv3-16-s2 inverted4-24-s2 inverted4-24 max3-s2 separable3-64 conv1x5-8")
    graph = SPACE.network(path)
    assert graph.shapes == ((16, 16, 16), (24, 8, 8), (24, 8, 8), (24, 4, 4), (64, 4, 4), (8, 4, 4))
    network = SPACE.build(path).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    params, flops = SPACE.cost(path)
    # 432 + 32; 1024 + 576 + 1536 + 304; 2304 + 864 + 2304 + 432; 216 + 1536 + 176; 2560 + 16; 90.
    assert params == 464 + 3440 + 5904 + 1928 + 2576 + 90 == sum(each.numel() for each in network.parameters())
    assert 2 * flops == counter.get_total_flops()


def test_pooling_has_no_channels_of_its_own():
    for place, kind in enumerate(KINDS):
        pools = kind in ("avg3", "max3")
        assert SPACE.legal((), (place,)) == tuple((channels == "same") == pools for channels in CHANNELS)
    assert count(SPACE.decisions(1)) == 13 * 7 * 2
    layers = [SPACE.network((action,)).nodes[0].layer for action in legal_actions(SPACE, ())]
    assert len(layers) == len(set(layers)) == 11 * 6 * 2 + 2 * 2


def test_stride_2_needs_two_pixels():
    space = named_space("tiny", input_shape=(1, 1, 8), num_classes=2, max_layers=2)
    for kind in range(len(KINDS)):
        channels = SPACE.legal((), (kind,)).index(True)
        assert space.legal((), (kind, channels)) == (True, False)
        assert SPACE.legal((), (kind, channels)) == (True, True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("separable3", "layer 1 is illegal there: channels may not be same there: 'same' is for pooling"),
        ("conv3-8 max3-8", "layer 2 is illegal there: channels may not be 8 there: pooling has no channels of its own"),
        ("max3-s2 " * 5 + "avg3-s2", "layer 6 is illegal there: stride may not be 2 there: a side of the map has one"),
        ("max3-s3", "layer 1 is 'max3-s3', which is not in this space; write it as in 'separable3-16', "),
        ("conv3-8-s1", "layer 1 is 'conv3-8-s1', which is not in this space"),
        ("max3-same", "layer 1 is 'max3-same', which is not in this space"),
        ("conv3-8 conv3-12", "layer 2 is 'conv3-12', which is not in this space"),
    ],
)
def test_a_path_that_is_none(path, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        SPACE.parse(path)


@given(actions=st.lists(st.integers(0, count(SPACE.decisions(1)) - 1), min_size=1, max_size=6))
def test_labels_are_read_back(actions):
    path = ()
    for action in actions:
        assert SPACE.action(path, SPACE.label(path, action)) == action
        if is_legal(SPACE, path, action):
            path = (*path, action)
    if path:
        assert SPACE.parse(" ".join(SPACE.labels(path))) == path


def test_width_scales_the_channels_and_no_label():
    half = named_space("tiny", input_shape=(3, 32, 32), num_classes=10, max_layers=2, width=0.5)
    for kind in KINDS:
        if kind not in ("avg3", "max3"):
            assert half.network(half.parse(f"{kind}-48")).shapes == ((24, 32, 32),)
    path = half.parse("inverted6-16-s2 conv1x3-24")
    assert half.network(path).shapes == ((8, 16, 16), (12, 16, 16))
    assert half.labels(path) == ("inverted6-16-s2", "conv1x3-24")
    assert half.network(path).nodes[0].layer == InvertedResidual(16, 6, 2, width=0.5)
    with pytest.raises(SpaceError, match=re.escape("width is 0.1, which leaves 8 channels none")):
        named_space("tiny", input_shape=(3, 32, 32), num_classes=10, max_layers=2, width=0.1)


def test_within_100_000_parameters_and_10_million_flops_every_kind_may_come_first():
    limited = ConstrainedSpace(SPACE, max_params=100_000, max_flops=10_000_000)
    assert limited.legal(()) == (True,) * len(KINDS)
    assert SPACE.cost(SPACE.parse("conv3-64"))[1] == 27 * 64 * 1024 + 640 < 10_000_000
    path = SPACE.parse("conv3-64")
    dilated = KINDS.index("dilated3")
    # 9 x 64 x 8 x 1024 is 4.7 million more: 8 channels fit, 16 do not, and with stride 2 48 do.
    assert [CHANNELS[n] for n, legal in enumerate(limited.legal(path, (dilated,))) if legal] == [
        "8",
        "16",
        "24",
        "32",
        "48",
    ]
    assert limited.legal(path, (dilated, CHANNELS.index("8"))) == (True, True)
    assert limited.legal(path, (dilated, CHANNELS.index("16"))) == (False, True)
