"""What the spaces of cells share."""

import pytest

from replaytree.errors import SpaceError
from replaytree.space import ConstrainedSpace, darts, enas_micro, nasnet
from replaytree.space.catalogue import named_space
from replaytree.space.cells import Edge, Node, loose_ends
from replaytree.space.coding import encode, legal_actions
from replaytree.space.graph_space import final_space

NODES = {"darts": darts.NODES, "enas-micro": enas_micro.NODES, "nasnet": nasnet.NODES}


def space(name, **changes):
    common = {"input_shape": (3, 8, 8), "num_classes": 10, "max_layers": 6, "cells": 5, "channels": 4}
    return named_space(name, **common | changes)


def test_loose_ends():
    nodes = (
        Node(2, 1, (Edge("sep3", 0), Edge("skip", 0))),
        Node(3, 3, (Edge("sep3", 2), Edge("skip", 0))),
        Node(4, 5, (Edge("sep3", 2), Edge("skip", 2))),
    )
    assert loose_ends(nodes) == (1, 3, 4)
    assert loose_ends(()) == (0, 1)


@pytest.mark.parametrize("name", NODES)
def test_the_nodes_of_a_path(name):
    own = space(name)
    normal, reduction = NODES[name].cells(own.parse("sep3@0+max3@1 max3@0+sep5@1 sep5@0+avg3@2"))
    assert normal == (
        Node(2, 1, (Edge("sep3", 0), Edge("max3", 1))), Node(3, 3, (Edge("sep5", 0), Edge("avg3", 2))),
    )  # fmt: skip
    assert reduction == (Node(2, 2, (Edge("max3", 0), Edge("sep5", 1))),)


def test_cells_are_written_in_turn_and_have_as_many_nodes():
    node, other = "sep3@0+max3@1", "max3@0+max3@1"
    assert darts.NODES.written([node, node], [other]) == f"{node} {other} {node}"
    for normal, reduction in (([node] * 3, [other]), ([node], [other] * 2)):
        with pytest.raises(SpaceError, match=f"the normal cell has {len(normal)} nodes and the reduction cell"):
            darts.NODES.written(normal, reduction)


@pytest.mark.parametrize("name", NODES)
def test_no_layer_costs_less_than_the_cheapest(name, random_paths):
    own = space(name)
    delivered = final_space(own)
    for prefix in ((), *(path[:depth] for path, depth in zip(random_paths(own, 3, seed=6), (1, 2, 3), strict=True))):
        chosen = ()
        while len(chosen) < 4:
            chosen = (*chosen, own.cheapest(prefix, chosen))
            assert own.legal(prefix, chosen[:-1])[chosen[-1]]
        params, flops = delivered.cost((*prefix, encode(own.decisions(len(prefix) + 1), chosen)))
        others = list(legal_actions(own, prefix))[:: 1 + 4 * len(prefix)]
        least = [min(each) for each in zip(*(delivered.cost((*prefix, action)) for action in others), strict=True)]
        assert params <= least[0]
        # In enas-micro, more ends may save the convolution that fits them: their channels are those of the next cell.
        assert flops <= least[1] * (1.1 if name == "enas-micro" else 1)


@pytest.mark.parametrize("name", NODES)
def test_paths_within_limits(name, random_paths):
    own = space(name, max_layers=4)
    costs = sorted(final_space(own).cost(path)[0] for path in random_paths(own, 20, seed=1))
    limit = costs[5]
    limited = ConstrainedSpace(own, max_params=limit)
    for path in random_paths(limited, 3, seed=2):
        assert len(path) == 4
        assert all(final_space(own).cost(path[:depth])[0] <= limit for depth in range(1, 5))
