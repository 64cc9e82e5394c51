"""The mixed supernet of NASNet's cells: its decisions are those of the space."""

import pytest
import torch

from replaytree.errors import SpaceError
from replaytree.networks.mixed import Mix, MixedNetwork, soft_mix
from replaytree.space.catalogue import named_space
from replaytree.space.mixed_nasnet import NasnetMixture
from replaytree.space.nasnet import OPERATIONS, Nasnet

SMALL = {"input_shape": (1, 8, 8), "num_classes": 10, "max_layers": 3, "channels": 4, "cells": 2}


def mixture(share=1, **options):
    return NasnetMixture(Nasnet(**SMALL | options), share=share)


def test_a_decision_of_the_supernet_is_one_of_the_space():
    decisions = mixture().graph.decisions
    assert [mixing.name for mixing in decisions[:4]] == [
        "normal 2 input1", "normal 2 operation1", "normal 2 input2", "normal 2 operation2",
    ]  # fmt: skip
    assert [mixing.name for mixing in decisions[4::4]] == ["reduction 2 input1", "normal 3 input1"]
    assert [len(mixing.options) for mixing in decisions] == [2, 8, 2, 8, 2, 8, 2, 8, 3, 8, 3, 8]
    assert decisions[1].skips == (0,)


def test_an_operation_on_an_input_weighs_the_products_of_both_sides():
    own = mixture()
    [node] = [node for node in own.graph.nodes if node.name == "cell2_node2"]
    assert len(node.edges) == 2
    assert node.edges[1].options[3].weight == (((0, 1), (1, 3)), ((2, 1), (3, 3)))
    numbers = [torch.zeros(len(mixing.options)) for mixing in own.graph.decisions]
    mix = soft_mix(own.graph.decisions, numbers)
    total = sum(float(mix.weight(option.weight)) for edge in node.edges for option in edge.options)
    # Each side is a whole.
    assert total == pytest.approx(2.0)


@pytest.mark.parametrize("share", [1, 4])
def test_a_path_is_what_its_own_weights_say(share):
    own = mixture(share, max_layers=10)
    space = named_space("nasnet", **SMALL | {"max_layers": 10})
    path = space.parse(Nasnet.published["AmoebaNet-A"].path)
    rows = own.rows(path)
    assert own.derive(rows) == path
    assert all(sorted(row)[-2:] == [0.0, 1.0] for row in rows)
    skips = own.skips(path)
    # avg max, sep none, none avg, sep sep, avg sep; in the reduction cell none.
    assert (skips.normal, skips.share) == (2, 2 / 20)


def test_the_largest_of_each_decision_is_derived():
    own = mixture()
    rows = [[0.1] * len(mixing.options) for mixing in own.graph.decisions]
    rows[0][1], rows[1][OPERATIONS.index("sep5")], rows[3][OPERATIONS.index("avg3")] = 0.5, 0.5, 0.5
    space = named_space("nasnet", **SMALL)
    assert space.labels(own.derive(rows))[0] == "sep5@1+avg3@0"


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("concat", ["loose", "1+3+4+6/2+3+4+5+6"])
def test_it_runs(share, concat):
    own = mixture(share, concat=concat, max_layers=10 if concat != "loose" else 3)
    network = MixedNetwork(own.graph)
    images = torch.randn(2, 1, 8, 8)
    numbers = [torch.zeros(len(mixing.options), requires_grad=True) for mixing in own.graph.decisions]
    network(images, soft_mix(own.graph.decisions, numbers)).square().sum().backward()
    assert all(number.grad is not None and number.grad.abs().max() > 0 for number in numbers)
    rows = own.rows((0,) * own._plan.max_layers)
    assert network(images, Mix.of_rows(rows, torch.device("cpu"))).shape == (2, 10)


def test_the_network_of_a_path_with_all_nodes_concatenated():
    """With one node a cell nothing is loose but that node, so the supernet is the path's network, batch norms aside."""
    own = mixture(max_layers=2)
    space = named_space("nasnet", **SMALL | {"max_layers": 2})
    path = space.parse("sep3@0+sep5@1 sep3@1+sep3@0")
    network = MixedNetwork(own.graph)
    rows = Mix.of_rows(own.rows(path), torch.device("cpu"))
    convolutions = [
        tuple(p.shape)
        for name, p in network.named_parameters()
        if p.ndim == 4 and (name.startswith("layers") or _taken(own, rows, name))
    ]
    built = [tuple(p.shape) for p in space.build(path).parameters() if p.ndim == 4]
    assert sorted(convolutions) == sorted(built)


def _taken(own, rows, name):
    _, place, option, *_ = name.split(".")
    node, _, edge = place.rpartition("_")
    [found] = [each for each in own.graph.nodes if each.name == node]
    return rows.takes(found.edges[int(edge)].options[int(option)].weight)


@pytest.mark.parametrize(
    ("share", "options", "said"),
    [(4, {"channels": 6}, "no multiple of 4"), (1, {"max_layers": 1}, "give at least 2")],
)
def test_supernets_that_cannot_be(share, options, said):
    with pytest.raises(SpaceError, match=said):
        mixture(share, **options)
