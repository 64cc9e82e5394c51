"""Graphs, their costs by hand, their networks and their JSON."""

import json
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.space import (
    Auxiliary,
    Classifier,
    Concatenation,
    Convolution,
    CustomLayer,
    Graph,
    GraphNode,
    LayerSpace,
    Pooling,
    ResidualBlock,
    chain,
    xu24,
)
from replaytree.space.building import build
from replaytree.space.graph import IMAGE
from replaytree.space.layers import (
    KINDS,
    AuxiliaryClassifier,
    BiasedConvolution,
    Ending,
    FactorizedReduction,
    FullyConnected,
    NormedConvolution,
    NormedSum,
    UnpaddedPooling,
    layer_from_json,
    layer_to_json,
)

# The image (3x8x8) goes into a convolution and, beside it, into a pooling; a join of both into a convolution.
# The pooling's map is read again at the end.
SKIPS = Graph(
    (3, 8, 8),
    (
        GraphNode("layer1_conv4k3", Convolution(4, 3), (IMAGE,), 1),
        GraphNode("layer2_max2s2", Pooling("max", 2, 2), (IMAGE,), 2),
        GraphNode("layer3_join", Concatenation(), (0, 1), 3),
        GraphNode("layer3_conv2k1s2", Convolution(2, 1, 2), (2,), 3),
    ),
    (3, 1),
    Classifier(5),
    Concatenation(),
)


def test_shapes_and_costs_by_hand():
    assert SKIPS.shapes == ((4, 8, 8), (3, 4, 4), (7, 8, 8), (2, 4, 4))
    assert SKIPS.end_shape == (5, 4, 4)
    assert SKIPS.params == (3 * 4 * 9 + 8) + (7 * 2 + 4) + (5 + 1) * 5
    assert SKIPS.flops == 3 * 4 * 9 * 64 + 7 * 2 * 16 + 5 * 5
    assert SKIPS.activations == 2 * 256 + 3 * 48 + 448 + 2 * 32 + 80 + 5


def test_the_peak_is_where_most_maps_are_alive():
    # At the join: the convolution's 256 numbers, the pooling's 48 and the join's 448. The image is dead by then.
    assert SKIPS.peak_bytes == 4 * (256 + 48 + 448)
    # A chain holds the input and output of one layer: 8x8x8 and 8x8x8 behind an image of 64.
    assert chain([Convolution(8, 3)] * 3, input_shape=(1, 8, 8), head=Classifier(2)).peak_bytes == 4 * 1024
    # A map that a later layer reads stays alive: the image, at the second convolution.
    kept = (GraphNode("a1", Convolution(8, 3), (IMAGE,), 1), GraphNode("a2", Convolution(8, 3), (0,), 2),
            GraphNode("a3", Concatenation(), (IMAGE, 1), 3))  # fmt: skip
    assert Graph((1, 8, 8), kept[:2], (1,), Classifier(2)).peak_bytes == 4 * 1024
    assert Graph((1, 8, 8), kept, (2,), Classifier(2)).peak_bytes == 4 * (64 + 512 + 576)


def test_the_peak_may_be_where_the_loose_ends_are_merged():
    nodes = tuple(GraphNode(f"a{n}", Convolution(8, 3), (IMAGE,), n) for n in (1, 2))
    # Two maps of 512 and their concatenation; the head's two numbers come when the two are gone.
    assert Graph((1, 8, 8), nodes, (0, 1), Classifier(2), Concatenation()).peak_bytes == 4 * 2048
    # A large head reads the concatenation of 8x8x8 and 1x4x4, which is 9x8x8.
    small = (nodes[0], GraphNode("a2", Pooling("max", 2, 2), (IMAGE,), 2))
    assert Graph((1, 8, 8), small, (0, 1), Classifier(1000), Concatenation()).peak_bytes == 4 * (576 + 1000)


def test_the_network_is_that_of_its_parts_by_hand():
    torch.manual_seed(0)
    network = build(SKIPS).eval()
    parts = dict(network.named_children())
    assert list(parts) == ["layer1_conv4k3", "layer2_max2s2", "layer3_join", "layer3_conv2k1s2", "merge", "head"]
    images = torch.randn(2, 3, 8, 8)
    first, pooled = parts["layer1_conv4k3"](images), nn.functional.max_pool2d(images, 2)
    joined = torch.cat([first, nn.functional.pad(pooled, (0, 4, 0, 4))], dim=1)
    last = parts["layer3_conv2k1s2"](joined)
    expected = parts["head"](torch.cat([last, pooled], dim=1))
    torch.testing.assert_close(network(images), expected, rtol=0, atol=0)
    assert sum(p.numel() for p in network.parameters()) == SKIPS.params


def test_a_strided_1x1_convolution_is_subsampled_first_in_every_network():
    own = GraphNode("layer4_own", CustomLayer("own", lambda shape: nn.Conv2d(2, 2, 1, 2)), (3,), 4)
    network = build(Graph(SKIPS.input_shape, (*SKIPS.nodes, own), (4,), Classifier(2)))
    kinds = [type(part).__name__ for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert kinds == ["Conv2d", "SubsampledConv2d", "SubsampledConv2d"]


def test_a_chain_has_the_keys_that_it_has_always_had():
    space = LayerSpace(xu24(0.25), input_shape=(3, 8, 8), num_classes=4, max_layers=3)
    graph = space.network(space.parse("conv32k4 max2s2 res64"))
    assert graph.is_chain
    assert [node.name for node in graph.nodes] == ["layer1_conv32k4", "layer2_max2s2", "layer3_res64"]
    keys = list(build(graph).state_dict())
    assert keys[:2] == ["layer1_conv32k4.1.weight", "layer1_conv32k4.2.weight"]
    assert keys[-2:] == ["head.linear.weight", "head.linear.bias"]
    assert (graph.params, graph.flops) == space.cost(space.parse("conv32k4 max2s2 res64"))
    assert not SKIPS.is_chain


def test_the_network_of_no_layers_is_its_head():
    graph = chain([], input_shape=(3, 4, 4), head=Classifier(2, "flatten"))
    assert (graph.ends, graph.params, graph.end_shape) == ((IMAGE,), 98, (3, 4, 4))
    network = build(graph)
    assert list(network.state_dict()) == ["head.linear.weight", "head.linear.bias"]
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(network(images), network.head.linear(images.flatten(1)))


def test_an_illegal_layer_is_named():
    graph = chain([Pooling("avg", 2, 2)] * 2, input_shape=(3, 2, 2), head=Classifier(4))
    with pytest.raises(SpaceError, match=r"layer 2, avg2s2, is illegal there: stride 2 needs .* map is 3x1x1"):
        graph.shapes  # noqa: B018
    two = Graph((1, 8, 8), (GraphNode("a1", Convolution(4, 3), (IMAGE, IMAGE), 1),), (0,), Classifier(2))
    with pytest.raises(SpaceError, match="conv4k3 takes one feature map, and is given 2"):
        build(two)


def test_json_round_trip():
    text = json.dumps(SKIPS.to_json())
    assert Graph.from_json(json.loads(text)) == SKIPS
    path = chain([ResidualBlock(8, 2, 0.5)], input_shape=(1, 8, 8), head=Classifier(3, "flatten"))
    assert Graph.from_json(json.loads(json.dumps(path.to_json()))) == path


SECOND = replace(
    SKIPS,
    nodes=(replace(SKIPS.nodes[0], drop=1.0), *SKIPS.nodes[1:-1], replace(SKIPS.nodes[-1], drop=0.25)),
    auxiliary=Auxiliary(2, AuxiliaryClassifier(5)),
)


def test_an_auxiliary_classifier_is_no_part_of_the_finished_network():
    assert SECOND.auxiliary_shape == (7, 8, 8)
    for cost in ("params", "flops", "activations", "peak_bytes"):
        assert getattr(SECOND, cost) == getattr(SKIPS, cost)
    assert list(build(SECOND).state_dict()) == list(build(SKIPS).state_dict())


def test_what_only_a_training_reads_comes_back_from_json_and_is_absent_where_it_is_the_default():
    values = json.loads(json.dumps(SECOND.to_json()))
    assert Graph.from_json(values) == SECOND
    assert [node.get("drop") for node in values["nodes"]] == [1.0, None, None, 0.25]
    assert "auxiliary" not in SKIPS.to_json()
    assert not any("drop" in node for node in SKIPS.to_json()["nodes"])


def test_an_auxiliary_classifier_has_the_classes_of_the_head():
    with pytest.raises(SpaceError, match=r"the auxiliary classifier makes \(4, 1, 1\) of an image, and the head makes"):
        replace(SECOND, auxiliary=Auxiliary(2, Classifier(4))).auxiliary_shape  # noqa: B018
    with pytest.raises(SpaceError, match="this network has no auxiliary classifier"):
        SKIPS.auxiliary_shape  # noqa: B018


LAYERS = [
    Classifier(3, "flatten"), Concatenation(), Convolution(8, 3, 2, 0.5), Pooling("avg", 3, 1), ResidualBlock(8, 2),
    BiasedConvolution(8, 3, 0.5), UnpaddedPooling(5, 3), FullyConnected(128, 0.5), Ending("gap"),
    AuxiliaryClassifier(3, bias=False), Classifier(3, bias=False), FactorizedReduction(8),
    NormedConvolution(8, 5, True, "both"), NormedSum(),
]  # fmt: skip


def test_every_kind_comes_back_from_json():
    assert all(name == kind.__name__ for name, kind in KINDS.items())
    for layer in LAYERS:
        assert layer_from_json(json.loads(json.dumps(layer_to_json(layer)))) == layer
    own = layer_to_json(CustomLayer("mine", lambda shape: nn.Identity()))
    assert own == {"type": "CustomLayer", "label": "mine"}
    with pytest.raises(SpaceError, match="'CustomLayer' is not a kind of layer"):
        layer_from_json(own)


def test_a_kind_of_ones_own_is_never_taken_for_ours():
    class Pooling(type(LAYERS[3])):
        """Another pooling than ours, by the same name."""

    assert layer_to_json(Pooling("avg", 2, 2)) == {"type": "CustomLayer", "label": "avg2s2"}


HEAD = layer_to_json(Classifier(2))
NODE = {"name": "a1", "layer": layer_to_json(Convolution(4, 3)), "inputs": [-1], "depth": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": [NODE | {"inputs": [0]}]}, "node a1 reads node 0; it may read -1, the image, to -1"),
        ({"nodes": [NODE | {"inputs": []}]}, "node a1 reads nothing"),
        ({"nodes": [NODE | {"inputs": [True]}]}, "[True] are not whole numbers"),
        ({"nodes": [NODE | {"name": "a b"}]}, "node 0 is named 'a b'; it must be a Python name"),
        ({"nodes": [NODE | {"name": "class"}]}, "node 0 is named 'class'; it must be a Python name"),
        ({"nodes": [NODE | {"name": "head"}]}, "node 0 is named 'head'; it must be a Python name"),
        ({"nodes": [NODE, NODE]}, "two nodes are named 'a1'"),
        ({"nodes": [NODE | {"depth": 0}]}, "node a1 is of depth 0"),
        ({"nodes": [NODE | {"layer": {"type": "os.system"}}]}, "'os.system' is not a kind of layer"),
        ({"nodes": [NODE | {"layer": {"type": "Convolution", "evil": 1}}]}, "a Convolution cannot be made of what"),
        ({"nodes": [NODE | {"layer": 3}]}, "'3' does not describe a layer"),
        ({"nodes": 3}, "this does not describe a network (TypeError"),
        ({"ends": [1]}, "the head reads node 1; it may read -1, the image, to 0"),
        ({"ends": [0, -1]}, "the head reads 2 ends; several need a merge"),
        ({"merge": {"type": "Concatenation"}}, "the head reads 1 ends; several need a merge, and one has none"),
        ({"input_shape": [1, 8]}, "input_shape is [1, 8]"),
        ({"nodes": [NODE | {"drop": 1.5}]}, "the drop of node a1 is 1.5; it must be from 0 to 1"),
        ({"nodes": [NODE | {"drop": float("nan")}]}, "the drop of node a1 is nan; it must be from 0 to 1"),
        ({"nodes": [NODE | {"drop": True}]}, "a number is True"),
        ({"auxiliary": {"source": 1, "head": HEAD}}, "the auxiliary classifier reads node 1; it may read 0 to 0"),
        ({"auxiliary": {"source": -1, "head": HEAD}}, "the auxiliary classifier reads node -1; it may read 0 to 0"),
        ({"auxiliary": {"source": 0}}, "this does not describe a network (KeyError: 'head')"),
    ],
)
def test_what_is_no_graph(change, message):
    values = chain([Convolution(4, 3)], input_shape=(1, 8, 8), head=Classifier(2)).to_json() | {"nodes": [NODE]}
    with pytest.raises(SpaceError, match=re.escape(message)):
        Graph.from_json(values | change)


def test_a_name_that_every_module_has_is_refused():
    nodes = (GraphNode("train", Convolution(4, 3), (IMAGE,), 1), GraphNode("b1", Concatenation(), (IMAGE, 0), 1))
    with pytest.raises(SpaceError, match="a node is named 'train', as a part of every nn"):
        build(Graph((1, 8, 8), nodes, (1,), Classifier(2)))
