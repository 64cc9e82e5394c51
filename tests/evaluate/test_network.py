import pytest
import torch
from torch import nn

from replaytree.evaluate.network import DISCOUNT, NodeError, PrefixNetwork
from replaytree.space import Convolution, CustomLayer, LayerSpace, xu24

SPACE = LayerSpace(xu24(0.25), input_shape=(3, 16, 16), num_classes=5, max_layers=4)
PATH = SPACE.parse("conv32k4 res64s2 avg2s2 max3s1")
# A shared layer, a path that is a prefix of another, two that part at the second layer, one that shares nothing.
PATHS = [PATH, PATH[:2], SPACE.parse("conv32k4 res64s2 conv64k5"), SPACE.parse("conv32k4 max2s2"), SPACE.parse("res32")]


def losses(logits_TBK, labels):
    return torch.stack([nn.functional.cross_entropy(logits_BK, labels) for logits_BK in logits_TBK]).sum()


def test_one_head_for_every_prefix():
    logits = PrefixNetwork(SPACE, [PATH], 5)(torch.randn(2, 3, 16, 16))
    assert tuple(logits.shape) == (4, 2, 5)


def test_a_head_reads_what_its_prefix_alone_would_give():
    joint = PrefixNetwork(SPACE, [PATH], 5).eval()
    images = torch.randn(2, 3, 16, 16)
    logits = joint(images)
    for t in range(4):
        alone = torch.nn.Sequential(*joint.layers[: t + 1], joint.heads[t])
        torch.testing.assert_close(alone(images), logits[t])


def test_parameters_are_the_layers_once_and_every_head():
    joint = PrefixNetwork(SPACE, [PATH], 5)
    channels = [SPACE.output_shape(PATH[:t])[0] for t in range(1, 5)]
    layers = SPACE.cost(PATH)[0] - (channels[-1] + 1) * 5
    # Two hidden units a channel, with batch norm, and a linear layer of them.
    heads = sum(c * 2 * c + 2 * 2 * c + (2 * c + 1) * 5 for c in channels)
    assert sum(p.numel() for p in joint.parameters()) == layers + heads


def test_a_head_behind_pooling_alone_has_no_hidden_layer():
    joint = PrefixNetwork(SPACE, [SPACE.parse("avg2s2 max3s1 conv32k4 max3s1")], 5)
    assert [hasattr(head, "hidden") for head in joint.heads] == [False, False, True, True]


def chain_of(trie, path):
    """The chain network of one path with the weights of a trie."""
    chain = PrefixNetwork(SPACE, [path], 5)
    for t, place in enumerate(trie.places(path)):
        chain.layers[t].load_state_dict(trie.layers[place].state_dict())
        chain.heads[t].load_state_dict(trie.heads[place].state_dict())
    return chain


def test_a_shared_prefix_is_one_node_and_nodes_are_depth_first():
    trie = PrefixNetwork(SPACE, PATHS, 5)
    assert len(trie.nodes) == len(trie.layers) == len(trie.heads) == 7
    for node in trie.nodes:
        assert len(node) == 1 or trie.nodes.index(node[:-1]) < trie.nodes.index(node)
    assert [trie.nodes[place] for place in trie.places(PATHS[3])] == [PATHS[3][:1], PATHS[3]]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_trie_gives_every_path_the_logits_of_its_own_chain(mode):
    torch.manual_seed(1)
    trie, images = PrefixNetwork(SPACE, PATHS, 5), torch.randn(4, 3, 16, 16)
    chains = [chain_of(trie, path) for path in PATHS]
    logits = getattr(trie, mode)()(images)
    for path, chain in zip(PATHS, chains, strict=True):
        assert torch.equal(getattr(chain, mode)()(images), logits[trie.places(path)])


def test_the_gradient_of_a_trie_is_that_of_its_heads_each_counted_once():
    torch.manual_seed(2)
    trie, images, labels = PrefixNetwork(SPACE, PATHS, 5), torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
    losses(trie(images), labels).backward()
    gradients = {name: p.grad.clone() for name, p in trie.named_parameters()}
    trie.zero_grad()
    # The same, from chains: each node's loss is taken from the first path that it lies on.
    seen = set()
    for path in PATHS:
        chain = chain_of(trie, path)
        logits = chain(images)
        own = [t for t, place in enumerate(trie.places(path)) if place not in seen]
        seen.update(trie.places(path))
        if not own:
            continue
        losses(logits[own], labels).backward()
        for t, place in enumerate(trie.places(path)):
            for part, source in (("layers", chain.layers[t]), ("heads", chain.heads[t])):
                for name, p in source.named_parameters():
                    if p.grad is not None:
                        gradients[f"{part}.{place}.{name}"] -= p.grad
    for name, rest in gradients.items():
        torch.testing.assert_close(rest, torch.zeros_like(rest), atol=2e-5, rtol=0.0, msg=name)


def test_paths_that_share_nothing_have_the_gradients_they_have_alone():
    first, second = SPACE.parse("conv32k3 max2s2"), SPACE.parse("res32 avg3s1")
    trie, images, labels = PrefixNetwork(SPACE, [first, second], 5), torch.randn(4, 3, 16, 16), torch.arange(4)
    losses(trie(images), labels).backward()
    for path in (first, second):
        chain = chain_of(trie, path)
        losses(chain(images), labels).backward()
        for t, place in enumerate(trie.places(path)):
            for ours, alone in zip(trie.layers[place].parameters(), chain.layers[t].parameters(), strict=True):
                torch.testing.assert_close(ours.grad, alone.grad)


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


@pytest.mark.parametrize(
    ("builder", "cause"), [(lambda shape: Raises(), KeyError), (unbuildable, OSError)], ids=["forward", "build"]
)
def test_what_a_layer_raises_names_the_node(builder, cause):
    broken = CustomLayer("broken", builder, output_shape=lambda shape: shape, cost=lambda shape: (0, 0))
    space = LayerSpace([Convolution(4, 3), broken], input_shape=(1, 8, 8), num_classes=2, max_layers=3)
    with pytest.raises(NodeError) as raised:
        PrefixNetwork(space, [(0, 0), (0, 1, 0)], 2)(torch.zeros(2, 1, 8, 8))
    assert raised.value.node == (0, 1)
    assert isinstance(raised.value.__cause__, cause)


def test_weights_and_factors_discount_the_heads_behind_a_layer():
    """The gradient of layer t is the sum of DISCOUNT^(s - t) times those of the heads s behind it."""
    torch.manual_seed(0)
    trie, images, labels = PrefixNetwork(SPACE, PATHS, 5), torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3])
    modules = zip(trie.nodes, trie.layers, trie.heads, strict=True)
    parameters = [(node, p) for node, layer, head in modules for p in (*layer.parameters(), *head.parameters())]
    per_head = [nn.functional.cross_entropy(logits_BK, labels) for logits_BK in trie(images)]
    expected = [torch.zeros_like(p) for _, p in parameters]
    for node, loss in zip(trie.nodes, per_head, strict=True):
        alone = torch.autograd.grad(loss, [p for _, p in parameters], retain_graph=True, materialize_grads=True)
        for n, (own, _) in enumerate(parameters):
            expected[n] = expected[n] + DISCOUNT ** (len(node) - len(own)) * alone[n]
    sum(weight * loss for weight, loss in zip(trie.head_weights, per_head, strict=True)).backward()
    for parameter, factor in trie.gradient_factors():
        parameter.grad *= factor
    assert len(parameters) == len(trie.gradient_factors())
    for (_, parameter), wanted in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-3, atol=1e-5)
