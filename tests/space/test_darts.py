"""The space of DARTS: cells by hand, published counts and genotypes, what is no genotype, and training on digits."""

import re

import pytest
import torch

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import SpaceError
from replaytree.evaluate import SeparateEvaluator
from replaytree.records import Decision
from replaytree.space import Classifier, DecisionSpace
from replaytree.space.darts import NODES, Darts, genotype_of_path, path_of_genotype
from replaytree.space.genotypes import DARTS
from replaytree.space.graph_space import final_space
from replaytree.space.layers import FactorizedReduction, NormedConvolution, NormedPooling, Pooling, StackedSeparable
from replaytree.space.size import Size, size_of
from replaytree.training import Recipe


def space(max_layers=8, *, input_shape=(3, 32, 32), **options):
    return DecisionSpace(Darts(input_shape=input_shape, num_classes=10, max_layers=max_layers, **options))


def published(name):
    return Darts.published[name].path


SMALL = {"input_shape": (3, 8, 8), "channels": 4, "cells": 3}


def drawn(graph):
    """Name -> (label of its layer, names of what it reads)."""
    names = [node.name for node in graph.nodes]
    return {
        node.name: (node.layer.label, *(names[source] if source >= 0 else "image" for source in node.inputs))
        for node in graph.nodes
    }


# Node 2 of each cell, and node 3 of the normal cell.
PATH = "sep3@0+skip@1 max3@0+skip@1 dil5@0+avg3@2"


def test_a_final_network_by_hand():
    small = space(final=True, **SMALL)
    graph = small.network(small.parse(PATH))
    assert drawn(graph) == {
        "stem": ("conv12k3", "image"),
        "cell1_fit0": ("conv4k1", "stem"),
        "cell1_fit1": ("conv4k1", "stem"),
        "cell1_node2_in0_sep3": ("sep4k3x2", "cell1_fit0"),
        "cell1_node2": ("add", "cell1_node2_in0_sep3", "cell1_fit1"),
        "cell1_node3_in0_dil5": ("dil4k5", "cell1_fit0"),
        "cell1_node3_in2_avg3": ("avg3s1", "cell1_node2"),
        "cell1_node3": ("add", "cell1_node3_in0_dil5", "cell1_node3_in2_avg3"),
        "cell1_concat": ("concat", "cell1_node2", "cell1_node3"),
        "cell2_fit0": ("conv8k1", "stem"),
        "cell2_fit1": ("conv8k1", "cell1_concat"),
        "cell2_node2_in0_max3": ("max3s2", "cell2_fit0"),
        "cell2_node2_in1_skip": ("reduce8", "cell2_fit1"),
        "cell2_node2": ("add", "cell2_node2_in0_max3", "cell2_node2_in1_skip"),
        "cell2_concat": ("concat", "cell2_node2"),
        # The farther input is twice as large as the nearer one.
        "cell3_fit0": ("reduce16", "cell1_concat"),
        "cell3_fit1": ("conv16k1", "cell2_concat"),
        "cell3_node2_in0_max3": ("max3s2", "cell3_fit0"),
        "cell3_node2_in1_skip": ("reduce16", "cell3_fit1"),
        "cell3_node2": ("add", "cell3_node2_in0_max3", "cell3_node2_in1_skip"),
        "cell3_concat": ("concat", "cell3_node2"),
    }
    assert [graph.shapes[name] for name in (8, 14, 20)] == [(8, 8, 8), (8, 4, 4), (16, 2, 2)]
    assert graph.head == Classifier(10)
    fits = 2 * (12 * 4 + 8) + (12 * 8 + 16) + (8 * 8 + 16) + (8 * 16 + 32) + (8 * 16 + 32)
    separable, dilated = 2 * (9 * 4 + 16 + 8), 25 * 4 + 16 + 8
    halved = (8 * 8 + 16) + (16 * 16 + 32)
    assert graph.params == 87 * 4 + fits + separable + dilated + halved + 170
    layers = {node.name: node.layer for node in graph.nodes}
    assert layers["stem"] == NormedConvolution(12, 3, relu="none")
    assert layers["cell2_fit1"] == NormedConvolution(8, 1, relu="before")
    assert layers["cell3_fit0"] == FactorizedReduction(16, relu=True)
    assert layers["cell1_node2_in0_sep3"] == StackedSeparable(4, 3)
    assert layers["cell1_node3_in0_dil5"] == StackedSeparable(4, 5, dilation=2, stacks=1)
    assert layers["cell1_node3_in2_avg3"] == Pooling("avg", 3, 1)
    assert {node.depth for node in graph.nodes if "cell3_node2" in node.name} == {2}
    assert {node.depth for node in graph.nodes if "cell1_node3" in node.name} == {3}


def test_a_searched_network_has_norms_without_numbers():
    small = space(**SMALL)
    graph = small.network(small.parse(PATH))
    assert [node.name for node in graph.nodes] == [
        node.name for node in final_space(small).network(small.parse(PATH)).nodes
    ]
    layers = {node.name: node.layer for node in graph.nodes}
    assert layers["stem"] == NormedConvolution(12, 3, relu="none")
    assert layers["cell2_fit1"] == NormedConvolution(8, 1, relu="before", affine=False)
    assert layers["cell3_fit0"] == FactorizedReduction(16, relu=True, affine=False)
    assert layers["cell1_node2_in0_sep3"] == StackedSeparable(4, 3, affine=False)
    assert layers["cell1_node3_in2_avg3"] == NormedPooling("avg", 3, 1)
    assert layers["cell2_node2_in0_max3"] == NormedPooling("max", 3, 2)


def test_a_cell_without_nodes_passes_its_inputs_on():
    small = space(**SMALL)
    found = drawn(small.network(small.parse("sep3@0+skip@1")))
    assert found["cell2_concat"] == ("concat", "cell2_halved0", "cell2_halved1")
    assert found["cell2_halved0"] == ("reduce8", "cell2_fit0")
    empty = small.network(())
    assert drawn(empty)["cell1_concat"] == ("concat", "cell1_fit0", "cell1_fit1")
    assert empty.end_shape == (32, 2, 2)


@pytest.mark.parametrize(
    ("cells", "reductions"), [(3, [2, 3]), (8, [3, 6]), (20, [7, 14])],
)  # fmt: skip
def test_where_maps_are_halved(cells, reductions):
    own = space(channels=2, cells=cells)
    graph = own.network(own.parse("sep3@0+skip@1"))
    found = {node.name: shape for node, shape in zip(graph.nodes, graph.shapes, strict=True)}
    sides = [found[f"cell{place}_concat"][1] for place in range(1, cells + 1)]
    assert [
        place for place, (old, new) in enumerate(zip([32, *sides], sides, strict=False), 1) if new < old
    ] == reductions
    assert found[f"cell{cells}_fit1"] == (8, *found[f"cell{cells}_fit1"][1:])


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("DARTS_V1", 232_890, 3_169_414),
        ("DARTS_V2", 246_106, 3_349_342),
        ("PC_DARTS_cifar", 335_738, 3_634_678),
        ("PC_DARTS_image", 327_546, 3_721_510),
        ("GDAS_V1", None, 3_368_782),
        ("DrNAS_cifar10", None, 4_099_294),
    ],
)
def test_the_published_parameters(name, small, large):
    for options, params in (({"channels": 16, "cells": 8}, small), ({"channels": 36, "cells": 20}, large)):
        own = space(final=True, **options)
        assert params in (None, own.cost(own.parse(published(name)))[0])


def test_the_supernet_has_the_published_parameters():
    """Every pair of a name and a layer is counted once: that is what weights are shared by."""
    own = space()
    # Each operation on each pair of inputs, at every node, with 'max3' for the rest.
    found = {}
    for operation in NODES.operations:
        for pick in ((0, 1), (0, 2), (0, 3), (0, 4)):
            nodes = [f"{operation}@{pick[0]}+{operation}@{min(pick[1], number)}" for number in (1, 2, 3, 4)]
            graph = own.network(own.parse(NODES.written(nodes, nodes)))
            for node in graph.nodes:
                found[node.name, node.layer] = node.layer.params(*graph.input_shapes(node))
            head = graph.head.params(graph.end_shape)
    assert sum(found.values()) + head == 1_930_618


@pytest.mark.parametrize("name", DARTS)
def test_genotypes_come_back_from_their_paths(name):
    path = published(name)
    genotype = DARTS[name]
    assert len(path.split()) == 8
    assert path_of_genotype(*genotype_of_path(path)) == path
    for written, cell in ((path.split()[::2], genotype.normal), (path.split()[1::2], genotype.reduction)):
        assert [set(word.split("+")) for word in written] == [set(word.split("+")) for word in cell]


def test_a_genotype_as_its_authors_write_it():
    normal = [("sep_conv_3x3", 1), ("skip_connect", 0), ("dil_conv_5x5", 2), ("avg_pool_3x3", 0)]
    reduce = [("max_pool_3x3", 0), ("sep_conv_5x5", 1), ("dil_conv_3x3", 2), ("max_pool_3x3", 1)]
    path = path_of_genotype(normal, reduce)
    assert path == "skip@0+sep3@1 max3@0+sep5@1 avg3@0+dil5@2 max3@1+dil3@2"
    assert genotype_of_path(path)[0] == [
        ("skip_connect", 0), ("sep_conv_3x3", 1), ("avg_pool_3x3", 0), ("dil_conv_5x5", 2),
    ]  # fmt: skip


def test_the_size_of_the_space():
    cell = 1 * 3 * 6 * 10 * 7**8
    assert size_of(space()) == Size(cell**2, is_exact=True)
    assert cell == pytest.approx(1.04e9, rel=0.01)


def test_the_decisions_of_nodes():
    own = space()
    choice = NODES.operations
    # Node 4 of the reduction cell reads the cell's inputs and nodes 2 and 3, which are layers 2 and 4.
    assert own.decisions(6) == (
        Decision("input1", ("0", "1", "2", "3"), "input", (-1, 0, 2, 4)),
        Decision("operation1", choice),
        Decision("input2", ("0", "1", "2", "3"), "input", (-1, 0, 2, 4)),
        Decision("operation2", choice),
    )
    assert own.decisions(5)[0].sources == (-1, 0, 1, 3)
    prefix = own.parse(" ".join(["sep3@0+skip@1"] * 5))
    assert own.legal(prefix) == (True, True, True, False)
    assert own.legal(prefix, (1, 0)) == (False, False, True, True)


def test_the_edges_of_a_node_may_stand_in_either_order():
    own = space()
    assert own.parse("skip@1+sep3@0") == own.parse("sep3@0+skip@1")
    assert own.labels(own.parse("skip@1+sep3@0")) == ("sep3@0+skip@1",)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sep3", "layer 1, node 2 of the normal cell, is 'sep3'; a node is two operations and what each reads, as in"),
        ("sep3@0", "layer 1, node 2 of the normal cell, is 'sep3@0'; a node has two operations, and this has 1"),
        (
            "sep3@0+skip@1 sep7@0+skip@1",
            "layer 2, node 2 of the reduction cell, is 'sep7@0+skip@1'; 'sep7' is no operation of darts, which are "
            "max3, avg3, skip, sep3, sep5, dil3, dil5",
        ),
        ("sep3@0+skip@2", "layer 1, node 2 of the normal cell, is 'sep3@0+skip@2'; it may read 0 to 1, and '2' is"),
        ("sep3@0+skip@0", "layer 1, node 2 of the normal cell, is 'sep3@0+skip@0'; it reads 0 twice"),
        # input1 may not be the highest, and input2 is above it.
        ("98", "layer 1 is illegal there: input1 may not be 1 there: a node reads two different inputs, the lower one"),
        ("0", "layer 1 is illegal there: input2 may not be 0 there: a node reads two different inputs, the lower one "
              "first, and its first is 0"),
        ("sep3@0+skip@1 " * 9, "layer 9 is 'sep3@0+skip@1', beyond max_layers, 8 (--max-layers)"),
    ],
)  # fmt: skip
def test_what_is_no_genotype(path, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space().parse(path)


def test_genotypes_of_other_spaces_are_refused():
    with pytest.raises(SpaceError, match=r"node 2 of the reduction cell, is 'sep_conv_7x7@0.*is no operation of darts"):
        path_of_genotype([("skip_connect", 0), ("skip_connect", 1)], [("sep_conv_7x7", 0), ("skip_connect", 1)])
    with pytest.raises(SpaceError, match="normal of the genotype has 1 pairs; there are two a node"):
        path_of_genotype([("skip_connect", 0)], [])
    pair = [("skip_connect", 0), ("skip_connect", 1)]
    with pytest.raises(SpaceError, match="the normal cell has 0 nodes and the reduction cell 1; they have as many"):
        path_of_genotype([], pair)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels of darts (--channels) is 0; it must be a whole number of at least 1"),
        ({"cells": 2}, "cells of darts (--cells) is 2; it must be a whole number of at least 3"),
        ({"final": 1}, "final of darts is 1; it must be True or False"),
        (
            {"max_layers": 9},
            "max_layers is 9; darts has two cells of at most 4 nodes, so at most 8 layers (--max-layers",
        ),
        ({"input_shape": (1, 2, 8)}, "images of 2x8 pixels cannot be halved twice, as darts does; give images of at"),
    ],
)
def test_what_is_no_space(options, message):
    with pytest.raises(SpaceError, match=re.escape(message)):
        space(**options)


def test_images_may_be_as_small_as_3x3():
    own = space(input_shape=(1, 3, 3), channels=2, cells=3)
    for path in (published("DARTS_V2"), "max3@0+skip@1"):
        assert own.network(own.parse(path)).end_shape[1:] == (1, 1)


def test_cells_learn_digits():
    digits = load_data("digits", train_limit=400)
    own = space(input_shape=(1, 8, 8), channels=4, cells=3)
    evaluator = SeparateEvaluator(own, digits, recipe=Recipe(batch_size=32, flip=False), device=torch.device("cpu"))
    path = own.parse("sep3@0+skip@1 max3@0+skip@1")
    [few], [more] = (evaluator.evaluate([path], budget=Budget(epochs), seed=0) for epochs in (1, 5))
    assert len(more.accuracies) == 2
    assert min(more.accuracies) > max(0.5, *few.accuracies)


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        ("DARTS_V2", {"channels": 36, "cells": 20}, 476_426),
        ("PC_DARTS_image", {"channels": 36, "cells": 20}, 476_426),
        ("DARTS_V1", {"channels": 16, "cells": 8}, 435_466),
    ],
)
def test_the_auxiliary_classifier_reads_the_second_reduction_cell(name, options, params):
    own = space(final=True, **options)
    graph = own.network(own.parse(published(name)))
    assert graph.nodes[graph.auxiliary.source].name == f"cell{2 * options['cells'] // 3 + 1}_concat"
    assert graph.auxiliary.head.params(graph.auxiliary_shape) == params


def test_drop_path_spares_what_passes_its_input_on():
    small = space(**SMALL)
    dropped = {node.name for node in small.network(small.parse(PATH)).nodes if node.drop == 1.0}
    assert dropped == {
        "cell1_node2_in0_sep3", "cell1_node3_in0_dil5", "cell1_node3_in2_avg3",
        # A skip that halves is no identity.
        "cell2_node2_in0_max3", "cell2_node2_in1_skip", "cell3_node2_in0_max3", "cell3_node2_in1_skip",
    }  # fmt: skip
