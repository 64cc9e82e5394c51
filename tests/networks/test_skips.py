"""A trie over graphs with skips, joins and loose ends is, prefix by prefix, the network of that prefix."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.networks.trie import PrefixNetwork
from replaytree.space import LayerSpace, ResidualBlock, trie_cost
from replaytree.space.building import build
from replaytree.space.layers.modules.subsampled import SubsampledConv2d

CONV, POOL = 0, 1


def layer(kind, *reads):
    """The action of a layer that reads the image (0) or layers, by depth."""
    return kind + 2 * sum(2**each for each in reads)


# A convolution; a pooling of the image beside it; a convolution of both and the image; a pooling that leaves it loose.
PATH = (layer(CONV, 0), layer(POOL, 0), layer(CONV, 0, 1, 2), layer(POOL, 1))
# Shares two layers; then reads the first alone, so that the second stays loose to the end.
OTHER = (*PATH[:2], layer(CONV, 1), layer(CONV, 3))
PATHS = [PATH, OTHER, (layer(POOL, 0), layer(CONV, 0, 1))]


@pytest.fixture
def trie(skipping):
    torch.manual_seed(0)
    # Without hidden units a head of the trie is that of the network alone: averages and a linear layer.
    return PrefixNetwork(skipping(), PATHS, 10, hidden=0)


def alone(space, trie, node):
    """The network of one prefix, with the trie's weights."""
    network = build(space.network(node)).train(trie.training)
    for depth, place in enumerate(trie.places(node), start=1):
        for name, module in trie.layers[place].items():
            if name != "merge" or depth == len(node):
                getattr(network, name).load_state_dict(module.state_dict())
    channels, place = space.network(node).end_shape[0], trie.nodes.index(node)
    kinds = [alike for alike in trie.heads.kinds if alike.weight.shape[1] == channels]
    row = [n for n in trie.nodes if space.network(n).end_shape[0] == channels].index(trie.nodes[place])
    assert len(kinds) == 1
    network.head.linear.weight.data.copy_(kinds[0].weight[row].T)
    network.head.linear.bias.data.copy_(kinds[0].bias[row, 0])
    return network


@pytest.mark.parametrize("training", [True, False])
def test_the_logits_of_every_prefix_are_those_of_its_network_alone(skipping, trie, training):
    trie.train(training)
    images = torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        logits = trie(images)
        assert len(trie.nodes) == 8
        for node, found in zip(trie.nodes, logits, strict=True):
            torch.testing.assert_close(found, alone(skipping(), trie, node)(images), rtol=0, atol=1e-6)


def test_a_shared_layer_is_one_module_and_every_head_reads_the_loose_ends(skipping, trie):
    names = [list(modules) for modules in (trie.layers[place] for place in trie.places(PATH))]
    assert names == [
        ["layer1_conv5k3"],
        ["layer2_max2s2", "merge"],
        ["layer3_join", "layer3_conv7k3"],
        ["layer4_max2s2", "merge"],
    ]
    assert skipping().network(OTHER).ends == (1, 3)
    assert trie.places(OTHER)[:2] == trie.places(PATH)[:2]


def test_what_is_kept_gives_what_it_gave(trie):
    images = torch.randn(4, 1, 8, 8)
    before, places = trie(images), trie.places(OTHER)
    trie.keep([OTHER])
    torch.testing.assert_close(trie(images), before[places])


def test_gradients_reach_a_layer_from_every_head_that_reads_it(skipping, trie):
    images = torch.randn(4, 1, 8, 8)
    first = next(trie.layers[trie.nodes.index(PATH[:1])].parameters())
    reached = {
        node: bool(torch.autograd.grad(logits.square().sum(), first, retain_graph=True)[0].any())
        for node, logits in zip(trie.nodes, trie(images), strict=True)
    }
    assert reached == {node: node[0] == PATH[0] for node in trie.nodes}
    # Every parameter of a layer has its factor: two tensors a batch norm and one a convolution.
    assert len(trie.gradient_factors()) == 3 * 5


def test_the_cost_of_a_trie_by_hand(skipping):
    space = skipping()
    assert space.network(PATH[:3]).shapes == ((5, 8, 8), (1, 4, 4), (7, 8, 8), (7, 8, 8))
    cost = trie_cost(space, [PATH[:3]], hidden=0)
    # The heads read 5 channels; 5 and 1 together; and 7, behind the join of image, convolution and pooling.
    assert cost.params == (9 * 5 + 10) + (7 * 7 * 9 + 14) + (6 + 7 + 8) * 10
    assert cost.flops == 9 * 5 * 64 + 7 * 7 * 9 * 64 + (5 + 6 + 7) * 10
    # Two maps of each convolution, three of the pooling, the join; the merge of the two loose ends, 6x8x8; the heads.
    assert cost.activations == 2 * 320 + 3 * 16 + 448 + 2 * 448 + 384 + (5 + 6 + 7)


def test_a_space_that_is_not_nested_is_named(skipping):
    class Renames(skipping):
        def network(self, prefix):
            graph = super().network(prefix)
            return graph if len(prefix) < 2 else super().network((layer(POOL, 0), *prefix[1:]))

    class Miscounts(skipping):
        def network(self, prefix):
            graph = super().network(prefix)
            return replace(graph, nodes=tuple(replace(node, depth=1) for node in graph.nodes))

    with pytest.raises(SpaceError, match="and layers of depth 2, so the space is not nested"):
        PrefixNetwork(Miscounts(), [PATH[:2]], 10)
    with pytest.raises(SpaceError, match=r"the network of \(2, 3\) is not that of \(2,\) and layers of depth 2"):
        PrefixNetwork(Renames(), [PATH[:2]], 10)


def test_no_strided_1x1_convolution_of_a_trie_is_left_to_onednn():
    space = LayerSpace([ResidualBlock(8, 2)], input_shape=(3, 8, 8), num_classes=2, max_layers=2)
    kinds = [type(part) for part in PrefixNetwork(space, [(0, 0)], 2).modules() if isinstance(part, nn.Conv2d)]
    assert kinds.count(SubsampledConv2d) == 2
    assert kinds.count(nn.Conv2d) == 4


def test_a_layer_may_add_nothing(skipping):
    class Ends(skipping):
        """The last layer of three only ends the path."""

        def network(self, prefix):
            return super().network(prefix[:2])

    trie = PrefixNetwork(Ends(), [PATH[:3]], 10, hidden=0).eval()
    assert [len(modules) for modules in trie.layers] == [1, 2, 1]
    assert isinstance(trie.layers[2]["merge"], nn.Module)
    assert trie(torch.randn(2, 1, 8, 8)).shape == (3, 2, 10)
