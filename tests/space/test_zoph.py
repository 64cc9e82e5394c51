"""The space of Zoph and Le (2017), by hand."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import SpaceError
from replaytree.space.building import build
from replaytree.space.catalogue import named_space
from replaytree.space.coding import allows, count, encode, is_legal, legal_actions
from replaytree.space.graph import IMAGE
from replaytree.space.layers import RectangularConvolution, layer_from_json, layer_to_json


def zoph(*, shape=(3, 32, 32), max_layers=15, **options):
    return named_space("zoph", input_shape=shape, num_classes=10, max_layers=max_layers, **options)


def test_the_decisions_are_those_of_the_paper():
    first, second, third = (zoph().decisions(depth) for depth in (1, 2, 3))
    assert [(each.name, each.options) for each in first] == [
        ("filter_height", ("1", "3", "5", "7")),
        ("filter_width", ("1", "3", "5", "7")),
        ("filters", ("24", "36", "48", "64")),
    ]
    assert second[:3] == third[:3] == first
    assert (third[3].name, third[3].kind, third[3].options, third[3].sources) == (
        "inputs",
        "inputs",
        ("1", "2"),
        (1, 2),
    )
    strided = [each.name for each in zoph(strides=True).decisions(2)]
    assert strided == ["filter_height", "filter_width", "stride_height", "stride_width", "filters", "inputs"]


def test_a_layer_has_64_choices_without_strides_and_skips_and_576_with_strides():
    assert len(list(legal_actions(zoph(), ()))) == 64
    assert len(list(legal_actions(zoph(strides=True), ()))) == 576


def test_the_size_of_the_space_at_15_layers():
    # 64 kernels and filters a layer, and any set of the layers before it: 0 + 1 + ... + 14 = 105 of them.
    space = zoph()
    assert math.prod(count(space.decisions(depth)) for depth in range(1, 16)) == 64**15 * 2**105
    assert len(list(legal_actions(space, (0, 0, 0)))) == 64 * 2**3


def test_three_layers_with_skips_by_hand():
    space = zoph()
    path = space.parse("3x3f24 1x7f36@1 5x5f48@1+2")
    graph = space.network(path)
    assert [node.name for node in graph.nodes] == ["layer1_3x3f24", "layer2_1x7f36", "layer3_join", "layer3_5x5f48"]
    assert [node.inputs for node in graph.nodes] == [(IMAGE,), (0,), (0, 1), (2,)]
    assert graph.ends == (3,)
    # 3 -> 24 at 3x3, 24 -> 36 at 1x7, 24 + 36 -> 48 at 5x5, each with two numbers a channel; 48 -> 10 and 10.
    assert graph.params == (648 + 48) + (6_048 + 72) + (72_000 + 96) + 490 == 79_402
    assert graph.flops == (648 + 6_048 + 72_000) * 1024 + 480 == 80_585_184
    # Without skips each layer reads the image, and the head reads all three: 24 + 36 + 48 channels.
    alone = space.network(space.parse("3x3f24 1x7f36 5x5f48"))
    assert [node.inputs for node in alone.nodes] == [(IMAGE,)] * 3
    assert alone.ends == (0, 1, 2)
    assert alone.params == 696 + (756 + 72) + (3_600 + 96) + (108 + 1) * 10
    assert alone.end_shape == (108, 32, 32)


def test_strides_by_hand_and_smaller_maps_are_padded_for_the_head():
    space = zoph(shape=(3, 8, 8), strides=True)
    path = space.parse("3x3f24 3x1s2x3f36@1 1x1s3x2f48")
    graph = space.network(path)
    # 8 / 2 = 4 and ceil(8 / 3) = 3; layer 3 reads the image, so layers 2 and 3 are loose ends.
    assert graph.shapes == ((24, 8, 8), (36, 4, 3), (48, 3, 4))
    assert (graph.ends, graph.end_shape) == ((1, 2), (84, 4, 4))
    assert graph.params == 696 + (2_592 + 72) + (144 + 96) + 850
    assert graph.flops == 648 * 64 + 2_592 * 12 + 144 * 12 + 840
    network = build(graph).eval()
    merged = []
    network.get_submodule("merge").register_forward_hook(lambda module, inputs, output: merged.append((inputs, output)))
    with torch.no_grad():
        network(torch.randn(2, 3, 8, 8))
    [((tall, wide), padded)] = merged
    assert torch.equal(padded[:, :36, :, :3], tall)
    assert torch.equal(padded[:, 36:, :3, :], wide)
    assert not padded[:, :36, :, 3].any()
    assert not padded[:, 36:, 3].any()


def test_a_layer_is_a_convolution_then_relu_then_batch_norm():
    layer = RectangularConvolution(4, 3, 5, 2, 1)
    module = layer.module((2, 7, 6))
    images = torch.randn(8, 2, 7, 6)
    convolved = torch.nn.functional.conv2d(images, module[0].weight, stride=(2, 1), padding=(1, 2))
    expected = torch.nn.functional.batch_norm(convolved.relu(), None, None, training=True)
    torch.testing.assert_close(module(images), expected)
    assert layer.output_shape((2, 7, 6)) == (4, 4, 6)
    assert expected.shape[1:] == (4, 4, 6)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 2), (1, 4), (7, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
def test_the_source_of_a_rectangular_convolution_is_its_module(kernel, stride):
    layer, shape = RectangularConvolution(4, *kernel, *stride, width=0.5), (3, 7, 5)
    names = {"torch": torch, "nn": torch.nn}
    for definition in layer.definitions:
        exec(definition, names)
    module, written = layer.module(shape), eval(layer.source(shape), names)
    written.load_state_dict(module.state_dict())
    images = torch.randn(2, *shape)
    torch.testing.assert_close(module(images), written(images))
    assert module(images).shape[1:] == layer.output_shape(shape) == (2, -(-7 // stride[0]), -(-5 // stride[1]))
    assert layer.params(shape) == sum(each.numel() for each in module.parameters())
    assert layer_from_json(layer_to_json(layer)) == layer


def test_width_scales_filters_and_leaves_the_labels():
    space = zoph(width=0.25)
    path = space.parse("3x3f24")
    assert space.output_shape(path) == (6, 32, 32)
    assert space.labels(path) == ("3x3f24",)


def test_strides_that_leave_no_pixels_are_illegal():
    space = zoph(shape=(3, 3, 2), strides=True)
    assert space.legal((), (1, 1)) == (True, True, True)
    assert space.legal((), (1, 1, 0)) == (True, True, False)
    # The map of layer 1 has 1x2 pixels, that of layer 2 has 3x1.
    path = space.parse("3x3s3x1f24 3x3s1x2f24")
    assert space.legal(path, (0, 0, 0, 0, 0)) == (True, True)
    assert space.legal(path, (0, 0, 1, 0, 0)) == (False, True)
    assert space.legal(path, (0, 0, 0, 1, 0)) == (True, False)
    assert space.legal(path, (0, 0, 1, 1, 0)) == (False, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3x3s1x3f24", "layer 1 is illegal there: stride_width may not be 3 there: the image is 3x3x2"),
        (
            "3x3s3x1f24 3x3s2x1f24@1",
            "layer 2 is illegal there: inputs may not be 1 there: strides 2x1 need as many pixels, and the map of "
            "layer 1 has 1x2",
        ),
        ("3x3f24 3x3f24@2", "layer 2 is '3x3f24@2', which reads layer 2; only layer 1 comes before it"),
        ("3x3f24@1", "layer 1 is '3x3f24@1', which reads layer 1; no layer comes before it"),
        ("3x3f24 3x3f24@0", "which reads layer 0"),
        ("9x3f24", "layer 1 is '9x3f24': filter_height is 9; it must be one of 1, 3, 5, 7"),
        ("3x3s4x1f24", "layer 1 is '3x3s4x1f24': stride_height is 4; it must be one of 1, 2, 3"),
        ("conv32k3", "layer 1 is 'conv32k3', which is not in this space; write it as in '3x5f36@1+2'"),
        ("99999", "layer 1 is illegal there: there is no action 99999; the layer has actions 0 to 575"),
    ],
)
def test_what_is_no_path_is_named(text, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        zoph(shape=(3, 3, 2), strides=True).parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.01}, "width is 0.01, which leaves 24 channels none"),
        ({"strides": 2}, "strides is 2; it must be True or False (--strides)"),
        ({"max_layers": 59}, "layer 59 of zoph could be any of 1.84e+19, and 9.22e+18 can be numbered; max_layers may"),
    ],
)
def test_what_is_no_space_is_named(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        zoph(**options)


def test_a_stride_where_there_are_none_is_named():
    with pytest.raises(SpaceError, match=re.escape("'3x3s2x2f24', but all strides of this space are 1 (--strides)")):
        zoph().parse("3x3s2x2f24")


@pytest.mark.parametrize("strides", [False, True])
@given(data=st.data())
def test_paths_are_read_back_and_their_masks_say_what_leaves_pixels(strides, data):
    space = zoph(shape=(1, 5, 4), max_layers=4, strides=strides)
    path = ()
    for depth in range(1, 5):
        decisions, values = space.decisions(depth), ()
        for decision in decisions:
            values = (*values, data.draw(st.integers(0, decision.size - 1)))
        if is_legal(space, path, encode(decisions, values)):
            path = (*path, encode(decisions, values))
            assert space.parse(" ".join(space.labels(path))) == path
            assert space.network(path).shapes
        else:
            place = next(
                k for k, each in enumerate(decisions) if not allows(each, space.legal(path, values[:k]), values[k])
            )
            assert decisions[place].name in {"stride_height", "stride_width", "inputs"}
            path = (*path, encode(decisions, tuple(0 for _ in decisions)))
