"""ENAS's macro space: tokens, structure and counts by hand, the published counts, and training on digits."""

import math
import re
from collections import Counter

import pytest
import torch

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import SpaceError
from replaytree.evaluate import JointEvaluator
from replaytree.space import Classifier, ConstrainedSpace, DecisionSpace
from replaytree.space.coding import MOST_ACTIONS, count, decode
from replaytree.space.enas_macro import OPERATIONS, RELEASED_TOKENS, EnasMacro, path_of_tokens, tokens_of_path
from replaytree.space.graph_space import final_space
from replaytree.space.layers import NormedConvolution
from replaytree.space.notation import check_path
from replaytree.training import Recipe


def space(max_layers=12, *, input_shape=(3, 32, 32), **options):
    return DecisionSpace(EnasMacro(input_shape=input_shape, num_classes=10, max_layers=max_layers, **options))


def drawn(graph):
    """Name -> names of what it reads."""
    names = [node.name for node in graph.nodes]
    return {node.name: [names[source] if source >= 0 else "image" for source in node.inputs] for node in graph.nodes}


SMALL = {"max_layers": 3, "input_shape": (3, 8, 8), "channels": 4}
# Layer 2 joins the stem (0); layer 3 the stem and layer 1.
PATH = "conv3 sep5+0 max3+0+1"
SHARED_PART = {
    "layer1_stem": ["image"],
    "layer1_pointwise": ["layer1_stem"],
    "layer1_conv3": ["layer1_pointwise"],
    "layer2_reduce0": ["layer1_stem"],
    "layer2_reduce1": ["layer1_conv3"],
    "layer2_pointwise": ["layer2_reduce1"],
    "layer2_sep5": ["layer2_pointwise"],
}


def test_a_searched_network_by_hand():
    small = space(**SMALL)
    graph = small.network(small.parse(PATH))
    assert drawn(graph) == SHARED_PART | {
        "layer2_sum": ["layer2_reduce0", "layer2_sep5"],
        "layer3_reduce0": ["layer2_reduce0"],
        "layer3_reduce1": ["layer2_reduce1"],
        "layer3_reduce2": ["layer2_sum"],
        "layer3_pointwise": ["layer3_reduce2"],
        "layer3_max3": ["layer3_pointwise"],
        "layer3_sum": ["layer3_reduce0", "layer3_reduce1", "layer3_max3"],
    }
    assert graph.head == Classifier(10, bias=False)
    # No ReLU behind the stem.
    assert graph.nodes[0].layer == NormedConvolution(4, 3, relu="none")
    assert {shape[0] for shape in graph.shapes} == {4}
    assert [graph.shapes[-1], graph.end_shape] == [(4, 2, 2)] * 2
    # Weights, and two numbers a channel for each batch norm.
    stem, layer1 = 27 * 4 + 8, (16 + 8) + (9 * 16 + 8)
    layer2 = 2 * (16 + 8) + (16 + 8) + (25 * 4 + 16 + 8) + 8
    layer3 = 3 * (16 + 8) + (16 + 8) + 8
    assert graph.params == stem + layer1 + layer2 + layer3 + 40 == 640
    assert graph.flops == (27 * 4 + 10 * 16) * 64 + (3 * 16 + 25 * 4 + 16) * 16 + (4 * 16) * 4 + 40


def test_a_final_network_by_hand():
    small = space(**SMALL)
    graph = final_space(small).network(small.parse(PATH))
    assert drawn(graph) == SHARED_PART | {
        "layer2_concat": ["layer2_reduce0", "layer2_sep5"],
        "layer2_join": ["layer2_concat"],
        "layer3_reduce0": ["layer2_reduce0"],
        "layer3_reduce1": ["layer2_reduce1"],
        "layer3_reduce2": ["layer2_join"],
        "layer3_pointwise": ["layer3_reduce2"],
        "layer3_max3": ["layer3_pointwise"],
        "layer3_concat": ["layer3_reduce0", "layer3_reduce1", "layer3_max3"],
        "layer3_join": ["layer3_concat"],
    }
    assert graph.end_shape == (16, 2, 2)
    assert graph.nodes[-1].layer == NormedConvolution(16, 1, relu="before")
    stem, layer1 = 27 * 4 + 8, (16 + 8) + (9 * 16 + 8)
    layer2 = 2 * (4 * 8 + 16) + (64 + 16) + (25 * 8 + 64 + 16) + (16 * 8 + 16)
    layer3 = 3 * (8 * 16 + 32) + (256 + 32) + (48 * 16 + 32)
    assert graph.params == stem + layer1 + layer2 + layer3 + 160 == 2620
    assert graph.params == sum(p.numel() for p in final_space(small).build(small.parse(PATH)).parameters())


def test_a_joined_map_is_read_by_the_sum_alone():
    small = space(2, input_shape=(1, 4, 4), channels=2)
    alone, joined = (small.build(small.parse(path)).eval() for path in ("conv3 max3", "conv3 max3+0"))
    joined.load_state_dict(alone.state_dict())
    for network in (alone, joined):
        network.layer2_sum.norm.eps = 0.0
        network.head = torch.nn.Identity()
    image = torch.rand(1, 1, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(joined(image), alone(image) + joined.layer1_stem(image))


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_its_own(operation, final):
    small = space(1, input_shape=(1, 6, 6), channels=2, final=final)
    network = small.build(small.parse(operation)).eval()
    layer = network.get_submodule(f"layer1_{operation}")
    convolutions = [part for part in layer.modules() if isinstance(part, torch.nn.Conv2d)]
    expected = {
        "conv3": [((3, 3), 1)], "sep3": [((3, 3), 2), ((1, 1), 1)],
        "conv5": [((5, 5), 1)], "sep5": [((5, 5), 2), ((1, 1), 1)],
        "avg3": [], "max3": [],
    }  # fmt: skip
    assert [(part.kernel_size, part.groups) for part in convolutions] == expected[operation]
    if not convolutions:
        assert type(layer) is {"avg3": torch.nn.AvgPool2d, "max3": torch.nn.MaxPool2d}[operation]
    # Every convolution and pooling reads what ReLU gave.
    seen = []
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.randn(3, 1, 6, 6))
    first = next(part for part in layer.modules() if not list(part.children()))
    assert isinstance(first, torch.nn.ReLU) if final and convolutions else (seen[0] >= 0).all()


@pytest.mark.parametrize(
    ("max_layers", "reduced"), [(1, []), (2, []), (3, [2, 3]), (5, [2, 3]), (12, [5, 9]), (24, [9, 17])]
)
def test_where_maps_are_reduced(max_layers, reduced):
    own = space(max_layers, channels=2)
    nodes = own.network(own.parse(" ".join(["max3"] * max_layers))).nodes
    found = Counter(node.depth for node in nodes if "reduce" in node.name)
    # Every map so far: the stem's and one a layer.
    assert found == {depth: depth for depth in reduced}


def test_a_prefix_is_a_part_of_its_continuations():
    own = space(12, channels=2)
    path = own.parse("conv3 sep3+0 conv5+1 sep5 avg3+0+2 max3+4")
    whole = own.network(path).nodes
    for depth in range(len(path)):
        assert own.network(path[:depth]).nodes == tuple(node for node in whole if node.depth <= depth)


def test_the_released_tokens():
    path = path_of_tokens(RELEASED_TOKENS)
    assert tokens_of_path(path) == RELEASED_TOKENS
    own = space(24, channels=2)
    actions = own.parse(path)
    values = [decode(own.decisions(depth), action) for depth, action in enumerate(actions, start=1)]
    assert (len(RELEASED_TOKENS), len(values)) == (300, 24)
    assert Counter(operation for operation, *_ in values) == {0: 8, 1: 2, 2: 9, 3: 5}
    assert sum(skips.bit_count() for _, *rest in values for skips in rest) == 98
    assert sum(len(decision.options) for depth in range(2, 25) for decision in own.decisions(depth)[1:]) == 276
    # Layer 4 is '2 0 0 1': bit 2 is of layer 2, and layer 3 is read without a bit.
    assert path.split()[3] == "conv5+2"


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((6,), "layer 1 is '6'; it must be an operation from 0 to 5 and 0 bits"),
        ((0, 1, 2), "layer 2 is '1 2'; it must be an operation from 0 to 5 and 1 bits"),
        ((0, 1, 0, 2, 1), "layer 3 is '2 1'; it must be an operation from 0 to 5 and 2 bits"),
    ],
)
def test_numbers_that_are_no_network(tokens, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        path_of_tokens(tokens)


def test_the_size_of_the_space():
    own = space(12)
    assert math.prod(count(own.decisions(depth)) for depth in range(1, 13)) == 6**12 * 2**66


def test_the_supernet_has_the_published_parameters():
    own = space(12)
    pools = 12 * (36 * 36 + 72)
    whole = [own.cost(own.parse(" ".join([operation] * 12)))[0] for operation in OPERATIONS]
    # What all have: stem, reductions, batch norms behind sums, head.
    shared = whole[OPERATIONS.index("avg3")] - pools
    assert shared + sum(params - shared for params in whole) == 697_860


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("conv7", "layer 1 is 'conv7', which is not in this space; it has conv3, sep3, conv5, sep5, avg3, max3"),
        ("conv3+0", "layer 1 is 'conv3+0', which is not in this space"),
        ("conv3 sep3+1", "layer 2 is 'sep3+1', which is not in this space"),
        ("conv3 sep3 sep3+1+0", "layer 3 may join 0 to 1, rising"),
        ("conv3 sep3 sep3+0+0", "layer 3 is 'sep3+0+0', which is not in this space"),
    ],
)
def test_labels_that_are_no_layer(path, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space().parse(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 1}, "channels of enas-macro (--channels) is 1; it must be a whole number of at least 2"),
        ({"final": 1}, "final of enas-macro is 1; it must be True or False"),
        ({"max_layers": 62}, "max_layers is 62; enas-macro has at most 61 layers (--max-layers)"),
        ({"input_shape": (1, 2, 8)}, "images of 2x8 pixels cannot be halved twice, as enas-macro does with three"),
    ],
)
def test_what_is_no_space(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space(**options)


def test_the_deepest_space_can_be_numbered():
    deepest = space(61).decisions(61)
    assert count(deepest) <= MOST_ACTIONS < 4 * count(deepest)


def test_images_may_be_as_small_as_3x3():
    own = space(3, input_shape=(1, 3, 3), channels=2)
    assert own.network(own.parse("max3 avg3 conv3")).end_shape == (2, 1, 1)


def test_joint_training_learns_digits():
    digits = load_data("digits", train_limit=400)
    own = space(6, input_shape=(1, 8, 8), channels=8)
    path = own.parse("conv3 sep3+0 max3 conv3+0+1 avg3+2 conv5+0+3")
    recipe = Recipe(batch_size=32, flip=False)
    few, more = (
        JointEvaluator(own, digits, recipe=recipe, device=torch.device("cpu"))
        .evaluate([path], budget=Budget(epochs), seed=0)[0]
        .accuracies
        for epochs in (1, 6)
    )
    assert len(few) == len(more) == 6
    assert min(more[2:]) > 0.7
    assert sum(more) > sum(few) + 0.5


def test_limits_are_of_what_is_delivered():
    small = space(**SMALL)
    path = small.parse(PATH)
    # The final network has 2,620 parameters, the searched one 640.
    check_path(ConstrainedSpace(small, max_params=2620), path)
    with pytest.raises(SpaceError, match="inputs may not be"):
        check_path(ConstrainedSpace(small, max_params=2619), path)
