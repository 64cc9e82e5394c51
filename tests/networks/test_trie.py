import pytest
import torch
from torch import nn

from replaytree.networks.trie import DISCOUNT, NodeError, PrefixNetwork
from replaytree.space import Convolution, CustomLayer, LayerSpace, prefixes, xu24
from replaytree.space.trie import head_grid, head_units

SPACE = LayerSpace(xu24(0.25), input_shape=(3, 16, 16), num_classes=5, max_layers=4)
PATH = SPACE.parse("conv32k4 res64s2 avg2s2 max3s1")
# A shared layer, a path that is a prefix of another, two that part at the second layer, one that shares nothing.
PATHS = [PATH, PATH[:2], SPACE.parse("conv32k4 res64s2 conv64k5"), SPACE.parse("conv32k4 max2s2"), SPACE.parse("res32")]


def losses(logits_TBK, labels):
    return torch.stack([nn.functional.cross_entropy(logits_BK, labels) for logits_BK in logits_TBK]).sum()


def test_one_head_for_every_prefix():
    logits = PrefixNetwork(SPACE, [PATH], 5)(torch.randn(2, 3, 16, 16))
    assert tuple(logits.shape) == (4, 2, 5)


def of_lone_heads(trie, images, lone_head):
    """Logits (T, B, K): every prefix computed by itself, with a head of torch's own modules."""
    shapes = [SPACE.output_shape(node) for node in trie.nodes]
    grids = [head_grid(SPACE, node) for node in trie.nodes]
    units = [head_units(SPACE, node) for node in trie.nodes]
    logits = []
    for place, node in enumerate(trie.nodes):
        layers = [layer for own in trie.places(node) for layer in trie.layers[own].values()]
        logits.append(nn.Sequential(*layers, lone_head(trie.heads, shapes, grids, units, place))(images))
    return torch.stack(logits)


def test_parameters_are_the_layers_once_and_every_head():
    joint = PrefixNetwork(SPACE, [PATH], 5)
    channels = [SPACE.output_shape(PATH[:t])[0] for t in range(1, 5)]
    layers = SPACE.cost(PATH)[0] - (channels[-1] + 1) * 5
    # Four hidden units a channel, with batch norm, and a linear layer of them.
    heads = sum(c * 4 * c + 2 * 4 * c + (4 * c + 1) * 5 for c in channels)
    assert sum(p.numel() for p in joint.parameters()) == layers + heads


def test_a_head_behind_pooling_alone_has_no_hidden_layer():
    joint = PrefixNetwork(SPACE, [SPACE.parse("avg2s2 max3s1 conv32k4 max3s1")], 5)
    # Behind the poolings, on averages of three channels, and then two heads of four units a channel.
    assert [alike.weight.shape for alike in joint.heads.kinds] == [(2, 3, 5), (2, 32, 5)]
    assert [alike.hidden is None for alike in joint.heads.kinds] == [True, False]


def test_a_shared_prefix_is_one_node_and_nodes_are_depth_first():
    trie = PrefixNetwork(SPACE, PATHS, 5)
    assert len(trie.nodes) == len(trie.layers) == sum(map(len, (alike.weight for alike in trie.heads.kinds))) == 7
    for node in trie.nodes:
        assert len(node) == 1 or trie.nodes.index(node[:-1]) < trie.nodes.index(node)
    assert [trie.nodes[place] for place in trie.places(PATHS[3])] == [PATHS[3][:1], PATHS[3]]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_head_reads_what_its_prefix_alone_would_give(lone_head, mode):
    torch.manual_seed(1)
    trie, images = PrefixNetwork(SPACE, PATHS, 5), torch.randn(4, 3, 16, 16)
    getattr(trie, mode)()
    torch.testing.assert_close(of_lone_heads(trie, images, lone_head), trie(images))


def test_the_gradient_of_a_trie_is_that_of_its_heads_each_counted_once(lone_head):
    torch.manual_seed(2)
    trie, images, labels = PrefixNetwork(SPACE, PATHS, 5, discount=1.0), torch.randn(4, 3, 16, 16), torch.arange(4)
    parameters = list(trie.layers.parameters())
    ours = torch.autograd.grad(losses(trie(images), labels), parameters)
    alone = torch.autograd.grad(losses(of_lone_heads(trie, images, lone_head), labels), parameters)
    for one, other in zip(ours, alone, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_what_is_kept_gives_what_it_gave():
    torch.manual_seed(4)
    trie, images = PrefixNetwork(SPACE, PATHS, 5), torch.randn(4, 3, 16, 16)
    before, places = trie(images), trie.places(PATHS[2])
    trie.keep([PATHS[2]])
    assert trie.nodes == (PATHS[2][:1], PATHS[2][:2], PATHS[2])
    assert trie.places(PATHS[2]) == [0, 1, 2]
    torch.testing.assert_close(trie(images), before[places])
    assert len(trie.gradient_factors()) == sum(len(list(trie.layers[place].parameters())) for place in places)


def test_the_order_of_paths_changes_nothing():
    networks = []
    for paths in (PATHS, PATHS[::-1]):
        torch.manual_seed(3)
        networks.append(PrefixNetwork(SPACE, paths, 5))
    first, second = (dict(network.named_parameters()) for network in networks)
    assert first.keys() == second.keys()
    assert all(torch.equal(p, second[name]) for name, p in first.items())


class Raises(nn.Module):
    def forward(self, images):
        raise KeyError("a mistake in a user's layer")


def unbuildable(shape):
    raise OSError("weights are gone")


class Repeats(nn.Module):
    def forward(self, images):
        return images.repeat(2, 1, 1, 1)


class Widens(nn.Module):
    def forward(self, images):
        return images.repeat(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("builder", "cause"),
    [
        (lambda shape: Raises(), KeyError),
        (unbuildable, OSError),
        (lambda shape: Widens(), ValueError),
        (lambda shape: Repeats(), ValueError),
        (lambda shape: nn.Flatten(), ValueError),
    ],
    ids=["forward", "build", "channels", "images", "flat"],
)
def test_what_a_layer_raises_names_the_node(builder, cause):
    broken = CustomLayer("broken", builder, output_shape=lambda shape: shape, cost=lambda shape: (0, 0))
    space = LayerSpace([Convolution(4, 3), broken], input_shape=(1, 8, 8), num_classes=2, max_layers=3)
    with pytest.raises(NodeError) as raised:
        PrefixNetwork(space, [(0, 0), (0, 1)], 2)(torch.zeros(2, 1, 8, 8))
    assert raised.value.node == (0, 1)
    assert isinstance(raised.value.__cause__, cause)


@pytest.mark.parametrize("kept", [PATHS, PATHS[2:]], ids=["all", "some"])
def test_factors_discount_the_heads_behind_a_layer(kept):
    """The gradient of layer t is the sum of DISCOUNT^(s - t) times those of the heads s behind it."""
    torch.manual_seed(0)
    trie, plain = (PrefixNetwork(SPACE, PATHS, 5, discount=discount) for discount in (DISCOUNT, 1.0))
    plain.load_state_dict(trie.state_dict())
    trie.keep(kept)
    plain.keep(kept)
    images, labels = torch.randn(4, 3, 16, 16), torch.arange(4)
    layers = dict(zip(prefixes(PATHS), plain.layers, strict=True))
    parameters = [(node, p) for node in plain.nodes for p in layers[node].parameters()]
    expected = [torch.zeros_like(p) for _, p in parameters]
    for node, logits in zip(plain.nodes, plain(images), strict=True):
        loss = nn.functional.cross_entropy(logits, labels)
        alone = torch.autograd.grad(loss, [p for _, p in parameters], retain_graph=True, materialize_grads=True)
        for n, (own, _) in enumerate(parameters):
            expected[n] = expected[n] + DISCOUNT ** (len(node) - len(own)) * alone[n]
    losses(trie(images), labels).backward()
    for (parameter, factor), wanted in zip(trie.gradient_factors(), expected, strict=True):
        torch.testing.assert_close(parameter.grad * factor, wanted, rtol=1e-3, atol=1e-5)
