"""ENAS's micro space: tokens, cells by hand in both forms, published counts, and training on digits."""

import re

import pytest
import torch

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import SpaceError
from replaytree.evaluate import SeparateEvaluator
from replaytree.records import Decision
from replaytree.space import Classifier, DecisionSpace
from replaytree.space.cells import loose_ends
from replaytree.space.enas_micro import NODES, OPERATIONS, RELEASED_TOKENS, EnasMicro, path_of_tokens, tokens_of_path
from replaytree.space.graph_space import final_space
from replaytree.space.layers import FactorizedReduction, NormedConvolution, Pointwise, Pooling, StackedSeparable
from replaytree.space.size import Size, size_of
from replaytree.training import Recipe


def space(max_layers=10, *, input_shape=(3, 32, 32), **options):
    return DecisionSpace(EnasMicro(input_shape=input_shape, num_classes=10, max_layers=max_layers, **options))


RELEASED = EnasMicro.published["ENAS"].path
SMALL = {"input_shape": (3, 8, 8), "channels": 4, "cells": 4}
# Node 2 of each cell, and node 3 of the normal cell, which reads node 2 and input 1.
PATH = "sep3@0+avg3@0 identity@0+max3@1 sep5@2+identity@1"


def drawn(graph):
    """Name -> (label of its layer, names of what it reads)."""
    names = [node.name for node in graph.nodes]
    return {
        node.name: (node.layer.label, *(names[source] if source >= 0 else "image" for source in node.inputs))
        for node in graph.nodes
    }


def test_a_searched_network_by_hand():
    small = space(**SMALL)
    graph = small.network(small.parse(PATH))
    assert drawn(graph) == {
        "stem": ("conv12k3", "image"),
        # The third of two layers is 0: the first cell reduces.
        "cell1_halved0": ("reduce8", "stem"),
        "cell1_halved1": ("reduce8", "stem"),
        "cell1_node2_y_in1_max3": ("max3s1", "cell1_halved1"),
        "cell1_node2": ("add", "cell1_halved0", "cell1_node2_y_in1_max3"),
        "cell1_out2": ("point8", "cell1_node2"),
        "cell1_out": ("sum", "cell1_out2"),
        # Input 0, the stem, is twice as large as input 1, and the second reduction halves both.
        "cell2_fit0": ("reduce16", "stem"),
        "cell2_halved0": ("reduce16", "cell2_fit0"),
        "cell2_halved1": ("reduce16", "cell1_out"),
        "cell2_node2_y_in1_max3": ("max3s1", "cell2_halved1"),
        "cell2_node2": ("add", "cell2_halved0", "cell2_node2_y_in1_max3"),
        "cell2_out2": ("point16", "cell2_node2"),
        "cell2_out": ("sum", "cell2_out2"),
        "cell3_fit0": ("reduce16", "cell1_out"),
        "cell3_node2_x_in0_sep3": ("sep16k3x2", "cell3_fit0"),
        "cell3_node2_y_in0_avg3": ("avg3s1", "cell3_fit0"),
        "cell3_node2": ("add", "cell3_node2_x_in0_sep3", "cell3_node2_y_in0_avg3"),
        "cell3_node3_x_in2_sep5": ("sep16k5x2", "cell3_node2"),
        "cell3_node3": ("add", "cell3_node3_x_in2_sep5", "cell2_out"),
        "cell3_out3": ("point16", "cell3_node3"),
        "cell3_out": ("sum", "cell3_out3"),
        "cell4_node2_x_in0_sep3": ("sep16k3x2", "cell2_out"),
        "cell4_node2_y_in0_avg3": ("avg3s1", "cell2_out"),
        "cell4_node2": ("add", "cell4_node2_x_in0_sep3", "cell4_node2_y_in0_avg3"),
        "cell4_node3_x_in2_sep5": ("sep16k5x2", "cell4_node2"),
        "cell4_node3": ("add", "cell4_node3_x_in2_sep5", "cell3_out"),
        "cell4_out3": ("point16", "cell4_node3"),
        "cell4_out": ("sum", "cell4_out3"),
        "relu": ("relu", "cell4_out"),
    }
    layers = {node.name: node.layer for node in graph.nodes}
    assert (graph.head, graph.end_shape) == (Classifier(10, bias=False), (16, 2, 2))
    assert [layers[f"cell1_halved{place}"].relu for place in (0, 1)] == [True, False]
    assert layers["cell3_fit0"] == FactorizedReduction(16, relu=True)
    assert layers["cell3_out3"] == Pointwise(16)
    stem = 87 * 4
    cell1 = 2 * (12 * 8 + 16) + (64 + 16)
    cell2 = (12 * 16 + 32) + (16 * 16 + 32) + (8 * 16 + 32) + (256 + 32)
    cell4 = 2 * (9 * 16 + 256 + 32) + 2 * (25 * 16 + 256 + 32) + (256 + 32)
    assert graph.params == stem + cell1 + cell2 + (8 * 16 + 32) + 2 * cell4 + 160


def test_a_final_network_by_hand():
    own = space(final=True, **SMALL | {"cells": 5})
    graph = own.network(own.parse(PATH))
    found = drawn(graph)
    # Reductions are cells 2 and 4.
    first = ("cell1_", "cell2_", "cell3_fit", "cell3_base")
    assert {name: found[name] for name in found if name.startswith(first)} == {
        "cell1_fit0": ("conv4k1", "stem"),
        "cell1_fit1": ("conv4k1", "stem"),
        "cell1_base": ("conv4k1", "cell1_fit1"),
        "cell1_node2_x_in0_sep3": ("sep4k3x2", "cell1_fit0"),
        "cell1_node2_y_in0_avg3": ("avg3s1", "cell1_fit0"),
        "cell1_node2": ("add", "cell1_node2_x_in0_sep3", "cell1_node2_y_in0_avg3"),
        "cell1_node3_x_in2_sep5": ("sep4k5x2", "cell1_node2"),
        "cell1_node3": ("add", "cell1_node3_x_in2_sep5", "cell1_base"),
        "cell1_concat": ("concat", "cell1_node3"),
        "cell2_fit0": ("conv8k1", "stem"),
        "cell2_fit1": ("conv8k1", "cell1_concat"),
        "cell2_base": ("conv8k1", "cell2_fit1"),
        "cell2_node2_x_in0_identity": ("reduce8", "cell2_fit0"),
        "cell2_node2_y_in1_max3": ("max3s2", "cell2_base"),
        "cell2_node2": ("add", "cell2_node2_x_in0_identity", "cell2_node2_y_in1_max3"),
        "cell2_concat": ("concat", "cell2_node2"),
        "cell3_fit0": ("reduce8", "cell1_concat"),
        # The last cell has the channels: only the second 1x1 convolution stands.
        "cell3_base": ("conv8k1", "cell2_concat"),
    }  # fmt: skip
    layers = {node.name: node.layer for node in graph.nodes}
    assert layers["cell2_fit0"] == layers["cell2_base"] == NormedConvolution(8, 1, relu="before")
    assert layers["cell2_node2_x_in0_identity"] == FactorizedReduction(8)
    assert layers["cell1_node3_x_in2_sep5"] == StackedSeparable(4, 5)
    assert layers["cell2_node2_y_in1_max3"] == Pooling("max", 3, 2)
    assert graph.nodes[graph.ends[0]].name == "relu"


def test_a_cell_without_nodes_passes_its_inputs_on():
    for final, expected in (
        (False, ("sum", "cell2_out0", "cell2_out1")),
        (True, ("concat", "cell2_halved0", "cell2_halved1")),
    ):
        own = space(final=final, **SMALL | {"cells": 5})
        found = drawn(own.network(own.parse("sep3@0+identity@1")))
        assert found["cell2_concat" if final else "cell2_out"] == expected
        assert own.network(()).end_shape[1:] == (2, 2)


def test_an_input_of_a_final_reduction_that_no_node_reads_is_halved():
    own = space(final=True, **SMALL)
    found = drawn(own.network(own.parse("sep3@0+sep3@0 sep3@0+max3@0")))
    assert found["cell1_concat"] == ("concat", "cell1_halved1", "cell1_node2")
    assert found["cell1_halved1"] == ("reduce8", "cell1_base")
    assert found["cell3_concat"] == ("concat", "cell3_base", "cell3_node2")


@pytest.mark.parametrize(
    ("layers", "channels", "params"),
    [
        (15, 36, 3_894_372), (18, 36, 4_587_372), (6, 36, 1_815_372), (9, 36, 2_508_372), (12, 36, 3_201_372),
        (15, 20, 1_299_860), (15, 24, 1_818_936), (15, 30, 2_759_490), (15, 40, 4_758_920),
    ],
)  # fmt: skip
def test_the_published_parameters(layers, channels, params):
    own = space(final=True, channels=channels, cells=layers + 2)
    assert own.cost(own.parse(RELEASED))[0] == params


@pytest.mark.parametrize(("layers", "reductions"), [(1, [1, 2]), (6, [3, 6]), (15, [6, 12]), (18, [7, 14])])
@pytest.mark.parametrize("final", [False, True])
def test_where_maps_are_halved(layers, reductions, final):
    own = space(channels=2, cells=layers + 2, final=final)
    graph = own.network(own.parse("sep3@0+identity@1"))
    found = {node.name: shape for node, shape in zip(graph.nodes, graph.shapes, strict=True)}
    sides = [found[f"cell{place}_{'concat' if final else 'out'}"][1] for place in range(1, layers + 3)]
    halved = [place for place, (old, new) in enumerate(zip([32, *sides], sides, strict=False), 1) if new < old]
    assert (halved, sides[-1]) == (reductions, 8)
    assert graph.nodes[graph.auxiliary.source].name.startswith(f"cell{reductions[1] + 1}_")


def test_the_auxiliary_classifier_has_the_published_parameters():
    own = space(final=True, channels=36, cells=17)
    graph = own.network(own.parse(RELEASED))
    assert graph.auxiliary.head.params(graph.auxiliary_shape) == 494_848


def test_the_released_tokens():
    path = path_of_tokens(*RELEASED_TOKENS)
    assert tokens_of_path(path) == RELEASED_TOKENS
    # '0 2 0 0' is an average pooling of input 0 and a separable convolution of it.
    assert path.split()[0] == "avg3@0+sep3@0"
    own = space()
    assert " ".join(own.labels(own.parse(path))) == path
    normal, reduction = NODES.cells(own.parse(path))
    assert (loose_ends(normal), loose_ends(reduction)) == ((2, 3, 4, 5, 6), (2, 4, 5, 6))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (((0, 0, 1), ()), "the normal cell has 3 numbers; there are four a node"),
        (((0, 0, 1, 0), (0, 5, 1, 0)), "the reduction cell has operation 5; they are 0 to 4"),
        (((0, 0, 2, 0), (0, 0, 1, 0)), "layer 1, node 2 of the normal cell, is 'sep3@0+sep3@2'; it may read 0 to 1"),
    ],
)
def test_numbers_that_are_no_cells(tokens, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        path_of_tokens(*tokens)


def test_the_size_of_the_space():
    assert size_of(space()) == Size((720**2 * 25**5) ** 2, is_exact=True)


def test_the_decisions_of_nodes():
    own = space()
    assert own.decisions(3) == (
        Decision("input1", ("0", "1", "2"), "input", (-1, 0, 1)),
        Decision("operation1", OPERATIONS),
        Decision("input2", ("0", "1", "2"), "input", (-1, 0, 1)),
        Decision("operation2", OPERATIONS),
    )
    # Edges are told apart, so that their order counts.
    assert own.parse("sep3@0+max3@1") != own.parse("max3@1+sep3@0")
    assert own.parse("sep3@0+max3@0")


def test_weights_are_of_node_edge_input_and_operation():
    own = space(**SMALL | {"cells": 5})

    def keys(path):
        return {(node.name, node.layer) for node in own.network(own.parse(path)).nodes}

    one, other = keys("sep3@0+sep3@0 max3@0+max3@1"), keys("sep3@0+sep3@1 max3@0+max3@1")
    separable = {name for name, layer in one if isinstance(layer, StackedSeparable) and name.startswith("cell1")}
    assert separable == {"cell1_node2_x_in0_sep3", "cell1_node2_y_in0_sep3"}
    # What both have, they share: the first edge, the fitted inputs, the batch norm behind the ends.
    assert {
        ("cell1_node2_x_in0_sep3", StackedSeparable(4, 3)),
        ("cell1_fit0", NormedConvolution(4, 1, relu="before")),
    } <= one & other
    assert not any("cell1_node2_y" in name for name, _ in one & other)


def test_drop_path_grows_with_the_cell_and_spares_identities():
    own = space(final=True, **SMALL | {"cells": 5})
    drops = {node.name: node.drop for node in own.network(own.parse(PATH)).nodes}
    assert drops["cell1_node2_x_in0_sep3"] == pytest.approx(1 / 5)
    assert drops["cell5_node2_y_in0_avg3"] == 1.0
    assert drops["cell2_node2_x_in0_identity"] == drops["cell1_fit0"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels of enas-micro (--channels) is 0; it must be a whole number of at least 1"),
        ({"cells": 2}, "cells of enas-micro (--cells) is 2; it must be a whole number of at least 3"),
        ({"final": 1}, "final of enas-micro is 1; it must be True or False"),
        ({"max_layers": 11}, "max_layers is 11; enas-micro has two cells of at most 5 nodes, so at most 10 layers"),
        ({"input_shape": (1, 8, 2)}, "images of 8x2 pixels cannot be halved twice, as enas-micro does"),
    ],
)
def test_what_is_no_space(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space(**options)


@pytest.mark.parametrize("cells", [3, 6])
def test_images_may_be_as_small_as_3x3(cells):
    own = space(input_shape=(1, 3, 3), channels=2, cells=cells)
    for each in (own, final_space(own)):
        assert each.network(own.parse(RELEASED)).end_shape[1:] == (1, 1)
        assert each.network(()).end_shape[1:] == (1, 1)


def test_cells_learn_digits():
    digits = load_data("digits", train_limit=400)
    own = space(input_shape=(1, 8, 8), channels=4, cells=3)
    evaluator = SeparateEvaluator(own, digits, recipe=Recipe(batch_size=32, flip=False), device=torch.device("cpu"))
    path = own.parse("sep3@0+identity@1 max3@0+sep3@1")
    [few], [more] = (evaluator.evaluate([path], budget=Budget(epochs), seed=0) for epochs in (1, 5))
    assert len(more.accuracies) == 2
    assert more.accuracies[1] > max(0.5, few.accuracies[1])
