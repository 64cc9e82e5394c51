"""Mixed supernets: what options weigh, and what their sum is."""

import math

import pytest
import torch

from replaytree.networks.mixed import Mix, MixedNetwork, entropies, hard_mix, probability_rows, soft_mix
from replaytree.space.darts import Darts
from replaytree.space.layers import Classifier, Pooling
from replaytree.space.mixed import MixedEdge, MixedGraph, MixedNode, MixedOption, Mixing
from replaytree.space.mixed_darts import DartsMixture

CHOICE = Mixing("a", ("x", "y", "z"))
SET = Mixing("b", ("0", "1"), "inputs")


def darts(share=1, **options):
    return DartsMixture(Darts(**{"input_shape": (3, 32, 32), "num_classes": 10} | options), share=share)


@pytest.mark.parametrize(("share", "count"), [(1, 1_930_618), (4, 299_578)])
def test_the_supernets_have_as_many_parameters_as_is_published(share, count):
    network = MixedNetwork(darts(share).graph)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_the_softmax_weighs_choices_and_the_sigmoid_inputs():
    numbers = [torch.tensor([0.0, math.log(2.0), math.log(3.0)]), torch.tensor([0.0, math.log(3.0)])]
    [choice, inputs] = soft_mix([CHOICE, SET], numbers).weights
    torch.testing.assert_close(choice, torch.tensor([1 / 6, 2 / 6, 3 / 6]))
    torch.testing.assert_close(inputs, torch.tensor([0.5, 0.75]))
    assert probability_rows([CHOICE], numbers[:1])[0] == pytest.approx((1 / 6, 2 / 6, 3 / 6), abs=1e-7)
    nats = entropies([CHOICE, SET], [torch.zeros(3), torch.zeros(2)])
    assert nats == pytest.approx([math.log(3.0), math.log(2.0)])
    with pytest.raises(ValueError, match="give one number an option"):
        soft_mix([CHOICE], [torch.zeros(2)])


def test_weights_of_edges_sum_to_one_at_each_node():
    own = darts(4)
    torch.manual_seed(0)
    mix = soft_mix(own.graph.decisions, [torch.randn(len(mixing.options)) for mixing in own.graph.decisions])
    factors = {}
    for node in own.graph.nodes:
        for edge in node.edges:
            factors.setdefault(node.name, []).append(mix.factor(edge.factor))
    assert len(factors) == 8 * 4
    assert [len(each) for each in factors.values()] == [2, 3, 4, 5] * 8
    assert all(float(sum(each)) == pytest.approx(1.0, abs=1e-6) for each in factors.values())


def test_gdas_draws_one_hot_weights_with_the_gradient_of_the_softmax():
    numbers = torch.tensor([0.3, -0.2, 0.9], requires_grad=True)
    direction = torch.tensor([1.0, -2.0, 0.5])
    drawn = []
    for seed in range(20):
        mix = hard_mix([CHOICE], [numbers], temperature=0.7, generator=torch.Generator().manual_seed(seed))
        [weight] = mix.weights
        # Exactly one-hot, and what is computed is what was drawn.
        assert sorted(weight.tolist()) == [0.0, 0.0, 1.0]
        place = weight.tolist().index(1.0)
        assert mix.taken == [frozenset([place])]
        drawn.append(place)
        [found] = torch.autograd.grad(weight @ direction, numbers)
        uniform = torch.rand(3, generator=torch.Generator().manual_seed(seed))
        noise = -torch.log(-torch.log(uniform))
        soft = torch.softmax((torch.log_softmax(numbers, 0) + noise) / 0.7, dim=0)
        assert soft.argmax() == place
        [expected] = torch.autograd.grad(soft @ direction, numbers)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
    assert set(drawn) == {0, 1, 2}


def test_draws_follow_the_softmax():
    numbers = torch.tensor([0.0, math.log(3.0), math.log(6.0)])
    generator = torch.Generator().manual_seed(0)
    counts = [0, 0, 0]
    for _ in range(4000):
        [taken] = hard_mix([CHOICE], [numbers], temperature=5.0, generator=generator).taken
        counts[min(taken)] += 1
    # The standard error is at most 0.008.
    assert [count / 4000 for count in counts] == pytest.approx([0.1, 0.3, 0.6], abs=0.03)


def small(*edges, decisions=(CHOICE,), shape=(2, 4, 4)):
    node = MixedNode("mix", shape, edges=edges)
    return MixedGraph(shape, decisions, (node,), Classifier(2))


PASS = [MixedOption((), (((0, place),),)) for place in range(2)]


def test_an_edge_is_the_weighted_sum_of_its_options():
    network = MixedNetwork(small(MixedEdge(0, (PASS[0], PASS[1], MixedOption(None, (((0, 2),),))))))
    images = torch.randn(3, 2, 4, 4)
    network.head = torch.nn.Identity()
    mix = Mix([torch.tensor([0.5, 0.2, 0.3])])
    torch.testing.assert_close(network(images, mix), 0.7 * images)
    # An option of no weight is not computed, and the sum is the same.
    rows = Mix.of_rows([(0.0, 1.0, 0.0)], torch.device("cpu"))
    assert rows.taken == [frozenset([1])]
    torch.testing.assert_close(network(images, rows), images)
    nothing = Mix.of_rows([(0.0, 0.0, 1.0)], torch.device("cpu"))
    assert not network(images, nothing).any()


def test_weights_are_sums_of_products():
    pair = (Mixing("a", ("x", "y")), Mixing("b", ("u", "v")))
    both = MixedOption((), (((0, 0), (1, 1)), ((0, 1),)))
    network = MixedNetwork(small(MixedEdge(0, (both,)), decisions=pair))
    network.head = torch.nn.Identity()
    images = torch.randn(1, 2, 4, 4)
    mix = Mix([torch.tensor([0.25, 0.75]), torch.tensor([0.6, 0.4])])
    torch.testing.assert_close(network(images, mix), (0.25 * 0.4 + 0.75) * images)
    idle = Mix.of_rows([(1.0, 0.0), (1.0, 0.0)], torch.device("cpu"))
    assert not network(images, idle).any()


def test_options_of_fewer_channels_are_the_leading_ones():
    pools = (Pooling("max", 1, 1),)
    option = MixedOption(pools, (), masks=(((((0, 0),),), 1), ((((0, 1),),), 2)))
    network = MixedNetwork(small(MixedEdge(0, (option,)), shape=(2, 4, 4)))
    network.head = torch.nn.Identity()
    images = torch.randn(1, 2, 4, 4)
    found = network(images, Mix([torch.tensor([0.25, 0.5, 0.25])]))
    torch.testing.assert_close(found[:, 0], 0.75 * images[:, 0])
    torch.testing.assert_close(found[:, 1], 0.5 * images[:, 1])


def test_a_draw_passes_back_a_gradient_to_what_it_did_not_take():
    network = MixedNetwork(small(MixedEdge(0, tuple(MixedOption((), (((0, place),),)) for place in range(3)))))
    network.head = torch.nn.Identity()
    images = torch.randn(1, 2, 4, 4)
    weight = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    found = network(images, Mix([weight], [frozenset([0])], passes_back=True))
    assert torch.equal(found, images)
    found.sum().backward()
    # Of the one that was taken by its map; of the others by the sum of the gradient, as in the authors' program.
    torch.testing.assert_close(weight.grad, torch.tensor([float(images.sum()), 32.0, 32.0]))


def test_a_draw_of_nothing_is_a_map_of_zeros():
    options = (PASS[0], MixedOption(None, (((0, 1),),)))
    network = MixedNetwork(small(MixedEdge(0, options), MixedEdge(0, options), shape=(2, 4, 4)))
    network.head = torch.nn.Identity()
    weight = torch.tensor([0.0, 1.0, 0.0], requires_grad=True)
    found = network(torch.randn(3, 2, 4, 4), Mix([weight], [frozenset([1])], passes_back=True))
    assert found.shape == (3, 2, 4, 4)
    assert not found.any()
    found.sum().backward()
    assert weight.grad.tolist() == [2 * 96.0, 0.0, 0.0]


@pytest.mark.parametrize("stride", [1, 2])
def test_pc_darts_shuffles_what_passed_by_among_what_options_made(stride):
    pooled = (MixedOption((Pooling("max", 1, stride),), (((0, 0),),)),)
    edge = MixedEdge(0, pooled, share=2, stride=stride)
    node = MixedNode("mix", (4, 5 if stride == 1 else 3, 5 if stride == 1 else 3), edges=(edge,))
    network = MixedNetwork(MixedGraph((4, 5, 5), (CHOICE,), (node,), Classifier(2)))
    network.head = torch.nn.Identity()
    images = torch.randn(2, 4, 5, 5)
    found = network(images, Mix([torch.tensor([3.0, 0.0, 0.0])]))
    rest = images if stride == 1 else torch.nn.functional.max_pool2d(images, 2, 2, ceil_mode=True)
    torch.testing.assert_close(found[:, 0], 3.0 * images[:, 0, ::stride, ::stride])
    torch.testing.assert_close(found[:, 2], 3.0 * images[:, 1, ::stride, ::stride])
    torch.testing.assert_close(found[:, [1, 3]], rest[:, 2:])


def test_a_path_is_the_supernet_without_all_else():
    own = darts(input_shape=(1, 8, 8), channels=4, cells=3, max_layers=4)
    torch.manual_seed(0)
    network = MixedNetwork(own.graph)
    images = torch.randn(5, 1, 8, 8)
    path = own.derive([[0.0, 0, 0, 0, 1, 0, 0, 0]] * 10)
    mix = Mix.of_rows(own.rows(path), torch.device("cpu"))
    before = network(images, mix)
    for name, parameter in network.options.named_parameters():
        # All weights but those of separable 3x3 convolutions.
        if name.split(".")[1] != "4":
            parameter.data.normal_()
    assert torch.equal(network(images, mix), before)


def test_batch_norms_of_options_have_no_numbers_and_none_keeps_averages():
    network = MixedNetwork(darts(input_shape=(1, 8, 8), channels=4, cells=3, max_layers=2).graph)
    norms = [module for module in network.options.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight is None and norm.bias is None for norm in norms)
    assert not list(network.buffers())
