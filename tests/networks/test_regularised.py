"""Drop-path and the auxiliary classifier, by hand."""

import copy

import pytest
import torch

from replaytree.networks.regularised import RegularisedNetwork
from replaytree.space import Auxiliary, Classifier, Concatenation, Convolution, Graph, GraphNode, Pooling, chain
from replaytree.space.building import build
from replaytree.space.graph import IMAGE
from replaytree.space.layers import AuxiliaryClassifier

IMAGES = 4000


def graph(*, drop, auxiliary=None):
    """Two poolings of the image, of which the first may be dropped, side by side."""
    nodes = (
        GraphNode("a1", Pooling("avg", 2, 2), (IMAGE,), 1, drop), GraphNode("a2", Pooling("avg", 2, 2), (IMAGE,), 2),
    )  # fmt: skip
    return Graph((1, 4, 4), nodes, (0, 1), Classifier(2, bias=False), Concatenation(), auxiliary)


def regularised(graph, *, auxiliary=False):
    torch.manual_seed(0)
    network = RegularisedNetwork(build(graph), graph, auxiliary=auxiliary)
    # The first logit is the average of the first map, the second that of the second.
    network.network.head.linear.weight.data = torch.eye(2)
    return network


@pytest.mark.parametrize(("drop", "rate", "keep"), [(1.0, 0.5, 0.5), (0.5, 0.5, 0.75), (1.0, 0.2, 0.8)])
def test_the_output_of_a_node_is_dropped_for_each_image_by_itself(drop, rate, keep):
    network = regularised(graph(drop=drop)).train()
    network.set_rate(rate)
    first, second = network(torch.ones(IMAGES, 1, 4, 4))[0].T
    assert sorted(set(first.tolist())) == [0.0, pytest.approx(1 / keep)]
    # Four deviations of a mean of so many.
    assert float((first > 0).float().mean()) == pytest.approx(keep, abs=4 * (keep * (1 - keep) / IMAGES) ** 0.5)
    # What may not be dropped never is.
    assert set(second.tolist()) == {1.0}


def test_nothing_is_dropped_at_rate_0_nor_when_it_is_measured():
    network = regularised(graph(drop=1.0))
    images = torch.randn(8, 1, 4, 4)
    expected = network.network(images)
    torch.testing.assert_close(network.train()(images)[0], expected, rtol=0, atol=0)
    network.set_rate(0.9)
    torch.testing.assert_close(network.eval()(images)[0], expected, rtol=0, atol=0)
    assert (network.train()(images)[0][:, 0] == 0).any()


def test_the_second_classifier_reads_its_node_and_is_there_in_training_alone():
    network = regularised(graph(drop=0.0, auxiliary=Auxiliary(1, AuxiliaryClassifier(2))), auxiliary=True)
    images = torch.randn(8, 1, 4, 4)
    own = copy.deepcopy(network.auxiliary).train()
    first, second = network.train()(images)
    torch.testing.assert_close(second, own(torch.nn.functional.avg_pool2d(images, 2)))
    torch.testing.assert_close(first, network.network(images))
    assert network.eval()(images).shape == (1, 8, 2)
    # The network itself is the finished one.
    assert not any("auxiliary" in name for name in network.network.state_dict())


def test_a_chain_may_have_both():
    plain = chain([Convolution(4, 3), Convolution(8, 3, 2)], input_shape=(1, 8, 8), head=Classifier(3))
    both = Graph(plain.input_shape, plain.nodes, plain.ends, plain.head, None, Auxiliary(0, AuxiliaryClassifier(3)))
    network = RegularisedNetwork(build(both), both, auxiliary=True).train()
    assert network(torch.randn(4, 1, 8, 8)).shape == (2, 4, 3)


def test_the_rate_is_changed_where_a_captured_step_reads_it():
    network = regularised(graph(drop=1.0))
    place = network.rate.data_ptr()
    network.set_rate(0.25)
    assert (network.rate.data_ptr(), float(network.rate)) == (place, 0.25)
    # It is no part of what is stored.
    assert "rate" not in network.state_dict()
