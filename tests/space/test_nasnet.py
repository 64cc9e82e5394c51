"""The space of NASNet and AmoebaNet: cells by hand, flags of what is concatenated, published counts, digits."""

import re

import pytest
import torch

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import SpaceError
from replaytree.evaluate import SeparateEvaluator
from replaytree.records import Decision
from replaytree.space import Classifier, DecisionSpace
from replaytree.space.layers import FactorizedReduction, NormedConvolution, SplitConvolution, StackedSeparable
from replaytree.space.nasnet import NODES, OPERATIONS, Nasnet
from replaytree.space.size import Size, size_of
from replaytree.training import Recipe


def space(max_layers=10, *, input_shape=(3, 32, 32), **options):
    return DecisionSpace(Nasnet(input_shape=input_shape, num_classes=10, max_layers=max_layers, **options))


def published(name):
    return Nasnet.published[name].path


SMALL = {"input_shape": (3, 8, 8), "channels": 4, "cells": 3}


def drawn(graph):
    """Name -> (label of its layer, names of what it reads)."""
    names = [node.name for node in graph.nodes]
    return {
        node.name: (node.layer.label, *(names[source] if source >= 0 else "image" for source in node.inputs))
        for node in graph.nodes
    }


def test_a_network_by_hand():
    small = space(**SMALL)
    # Input 0 is the last cell, input 1 the one before.
    graph = small.network(small.parse("sep3@0+avg3@1 identity@1+max3@1 conv1x7@2+identity@0"))
    found = drawn(graph)
    assert found == {
        "stem": ("conv12k3", "image"),
        # The first cell reads the stem as it is for input 1: pooling is fitted behind it.
        "cell1_fit0": ("conv4k1", "stem"),
        "cell1_node2_left_in0_sep3": ("sep4k3x2", "cell1_fit0"),
        "cell1_node2_right_in1_avg3": ("avg3s1", "stem"),
        "cell1_node2_right_in1_avg3_fit": ("conv4k1", "cell1_node2_right_in1_avg3"),
        "cell1_node2": ("add", "cell1_node2_left_in0_sep3", "cell1_node2_right_in1_avg3_fit"),
        "cell1_node3_left_in2_conv1x7": ("split4k7", "cell1_node2"),
        "cell1_node3": ("add", "cell1_node3_left_in2_conv1x7", "cell1_fit0"),
        "cell1_concat": ("concat", "cell1_node3"),
        # A reduction stands before the second of three cells, and before the third.
        "cell2_fit0": ("conv8k1", "cell1_concat"),
        "cell2_fit1": ("conv8k1", "stem"),
        "cell2_node2_left_in1_identity": ("conv8k1s2", "cell2_fit1"),
        "cell2_node2_right_in1_max3": ("max3s2", "cell2_fit1"),
        "cell2_node2": ("add", "cell2_node2_left_in1_identity", "cell2_node2_right_in1_max3"),
        "cell2_out0": ("reduce8", "cell2_fit0"),
        "cell2_concat": ("concat", "cell2_out0", "cell2_node2"),
        "cell3_fit0": ("conv8k1", "cell2_concat"),
        "cell3_fit1": ("reduce8", "cell1_concat"),
        "cell3_node2_left_in0_sep3": ("sep8k3x2", "cell3_fit0"),
        "cell3_node2_right_in1_avg3": ("avg3s1", "cell3_fit1"),
        "cell3_node2": ("add", "cell3_node2_left_in0_sep3", "cell3_node2_right_in1_avg3"),
        "cell3_node3_left_in2_conv1x7": ("split8k7", "cell3_node2"),
        "cell3_node3": ("add", "cell3_node3_left_in2_conv1x7", "cell3_fit0"),
        "cell3_concat": ("concat", "cell3_node3"),
        "cell4_fit0": ("conv16k1", "cell3_concat"),
        # The two maps of cell 2 have the channels of cell 4.
        "cell4_node2_left_in1_identity": ("conv16k1s2", "cell2_concat"),
        "cell4_node2_right_in1_max3": ("max3s2", "cell2_concat"),
        "cell4_node2": ("add", "cell4_node2_left_in1_identity", "cell4_node2_right_in1_max3"),
        "cell4_out0": ("reduce16", "cell4_fit0"),
        "cell4_concat": ("concat", "cell4_out0", "cell4_node2"),
        "cell5_fit0": ("conv16k1", "cell4_concat"),
        "cell5_fit1": ("reduce16", "cell3_concat"),
        "cell5_node2_left_in0_sep3": ("sep16k3x2", "cell5_fit0"),
        "cell5_node2_right_in1_avg3": ("avg3s1", "cell5_fit1"),
        "cell5_node2": ("add", "cell5_node2_left_in0_sep3", "cell5_node2_right_in1_avg3"),
        "cell5_node3_left_in2_conv1x7": ("split16k7", "cell5_node2"),
        "cell5_node3": ("add", "cell5_node3_left_in2_conv1x7", "cell5_fit0"),
        "cell5_concat": ("concat", "cell5_node3"),
        "relu": ("relu", "cell5_concat"),
    }  # fmt: skip
    layers = {node.name: node.layer for node in graph.nodes}
    assert (graph.head, graph.end_shape) == (Classifier(10), (16, 2, 2))
    assert layers["cell3_fit1"] == FactorizedReduction(8, relu=True)
    assert layers["cell2_out0"] == FactorizedReduction(8)
    assert layers["cell1_node2_right_in1_avg3_fit"] == NormedConvolution(4, 1, relu="none")
    assert layers["cell2_node2_left_in1_identity"] == NormedConvolution(8, 1, relu="before", stride=2)
    assert graph.nodes[graph.auxiliary.source].name == "cell3_concat"
    drops = {node.name: node.drop for node in graph.nodes}
    assert drops["cell1_node2_right_in1_avg3_fit"] == pytest.approx(1 / 5)
    assert drops["cell5_node2_left_in0_sep3"] == 1.0
    assert drops["cell1_node2_right_in1_avg3"] == drops["cell2_node2_left_in1_identity"] == drops["cell5_fit0"] == 0.0


def test_the_operations():
    own = space(1, input_shape=(1, 8, 8), channels=8, cells=2)
    expected = {
        "sep5": StackedSeparable(16, 5, 2), "sep7": StackedSeparable(16, 7, 2), "dil3": StackedSeparable(16, 3, 2, 2),
        "conv1x7": SplitConvolution(16, 7, 2),
    }  # fmt: skip
    reducing = space(2, input_shape=(1, 8, 8), channels=8, cells=2)
    for operation, layer in expected.items():
        graph = reducing.network(reducing.parse(f"identity@0+identity@1 {operation}@0+identity@1"))
        assert (
            next(node.layer for node in graph.nodes if node.name.endswith(f"cell1_node2_left_in0_{operation}")) == layer
        )
    assert len(own.decisions(1)[1].options) == len(OPERATIONS) == 8


def test_a_cell_without_nodes_passes_its_inputs_on():
    small = space(**SMALL)
    found = drawn(small.network(small.parse("sep3@0+identity@1")))
    assert found["cell2_concat"] == ("concat", "cell2_out0", "cell2_out1")
    # The first cell's input 1 is the stem, fitted to the cell's channels.
    assert drawn(small.network(()))["cell1_concat"] == ("concat", "cell1_fit0", "cell1_out1")
    assert small.network(()).end_shape == (32, 2, 2)


def test_what_whole_cells_concatenate():
    flags = space(concat="1+3+4+6/2+3+4+5+6", **SMALL)
    found = drawn(flags.network(flags.parse(published("AmoebaNet-A"))))
    # 1 is fitted, because the stem has other channels; 3 is read by no node, 4 neither.
    assert found["cell1_concat"] == ("concat", "cell1_out1", "cell1_node3", "cell1_node4", "cell1_node6")
    assert found["cell2_concat"] == ("concat", *(f"cell2_node{number}" for number in (2, 3, 4, 5, 6)))
    loose = space(**SMALL)
    found = drawn(loose.network(loose.parse(published("AmoebaNet-A"))))
    assert found["cell1_concat"] == ("concat", "cell1_node3", "cell1_node4", "cell1_node6")
    assert found["cell2_concat"] == ("concat", "cell2_node3", "cell2_node5", "cell2_node6")
    # A prefix of four nodes a cell has no such flags.
    four = " ".join(published("AmoebaNet-A").split()[:8])
    assert flags.network(flags.parse(four)) == loose.network(loose.parse(four))


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        ("NASNet-A", {}, 3_346_538),
        ("AmoebaNet-A", {}, 2_567_754),
        ("AmoebaNet-A", {"channels": 36}, 3_218_266),
        ("AmoebaNet-A", {"channels": 24, "cells": 9}, 843_322),
        ("AmoebaNet-A", {"concat": "loose"}, 2_257_162),
        ("AmoebaNet-A", {"concat": "loose", "channels": 36}, 2_825_362),
        ("AmoebaNet-C", {}, 3_169_898),
    ],
)
def test_the_published_parameters(name, options, params):
    own = space(**{**Nasnet.published[name].options, **options})
    assert own.cost(own.parse(published(name)))[0] == params


@pytest.mark.parametrize(("cells", "reductions"), [(2, [1, 3]), (3, [2, 4]), (9, [4, 8]), (18, [7, 14])])
def test_where_maps_are_halved(cells, reductions):
    own = space(channels=2, cells=cells)
    graph = own.network(own.parse("sep3@0+identity@1"))
    found = {node.name: shape for node, shape in zip(graph.nodes, graph.shapes, strict=True)}
    sides = [found[f"cell{place}_concat"][1] for place in range(1, cells + 3)]
    halved = [place for place, (old, new) in enumerate(zip([32, *sides], sides, strict=False), 1) if new < old]
    assert (halved, sides[-1]) == (reductions, 8)


@pytest.mark.parametrize("name", Nasnet.published)
def test_genotypes_come_back_from_their_paths(name):
    own = space()
    path = published(name)
    assert " ".join(own.labels(own.parse(path))) == path
    normal, reduction = NODES.read(path)
    assert (
        NODES.written(
            ["+".join(map(str, node.edges)) for node in normal], ["+".join(map(str, node.edges)) for node in reduction]
        )
        == path
    )


def test_the_decisions_of_nodes_and_the_size_of_the_space():
    own = space()
    # Input 0 is the last cell, which is nearer.
    assert own.decisions(4)[0] == Decision("input1", ("0", "1", "2"), "input", (0, -1, 2))
    assert size_of(own) == Size((720**2 * 64**5) ** 2, is_exact=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels of nasnet (--channels) is 0; it must be a whole number of at least 1"),
        ({"cells": 1}, "cells of nasnet (--cells) is 1; it must be a whole number of at least 2"),
        ({"max_layers": 11}, "max_layers is 11; nasnet has two cells of at most 5 nodes, so at most 10 layers"),
        ({"input_shape": (1, 2, 2)}, "images of 2x2 pixels cannot be halved twice, as nasnet does"),
        *(
            (
                {"concat": concat},
                f"concat of nasnet (--concat) is {concat!r}; write loose, or the maps of the normal and",
            )
            for concat in ("", "6", "6/", "6/7", "6/6+5", "6/6+6", "6/x", "6/5/4", 6)
        ),
    ],
)
def test_what_is_no_space(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space(**options)


def test_images_may_be_as_small_as_3x3():
    own = space(input_shape=(1, 3, 3), channels=2, cells=2)
    for path in (published("AmoebaNet-A"), published("NASNet-A"), "max3@0+identity@1"):
        assert own.network(own.parse(path)).end_shape[1:] == (1, 1)


def test_cells_learn_digits():
    digits = load_data("digits", train_limit=400)
    own = space(input_shape=(1, 8, 8), channels=4, cells=2)
    evaluator = SeparateEvaluator(own, digits, recipe=Recipe(batch_size=32, flip=False), device=torch.device("cpu"))
    path = own.parse("sep3@0+identity@1 max3@0+identity@1")
    [few], [more] = (evaluator.evaluate([path], budget=Budget(epochs), seed=0) for epochs in (1, 5))
    assert len(more.accuracies) == 2
    assert more.accuracies[1] > max(0.5, few.accuracies[1])
