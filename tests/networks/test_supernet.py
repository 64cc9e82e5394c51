from dataclasses import replace

import pytest
import torch
from torch import nn

from replaytree.errors import SpaceError
from replaytree.networks.supernet import Supernet
from replaytree.records import Decision
from replaytree.space import (
    ChainPlan,
    Classifier,
    Convolution,
    CustomLayer,
    DecisionSpace,
    LayerSpace,
    Pooling,
    prefixes,
)
from replaytree.space.catalogue import named_space

CPU = torch.device("cpu")
SPACE = LayerSpace(
    [Convolution(4, 3), Convolution(8, 3), Pooling("max", 2, 2)], input_shape=(1, 8, 8), num_classes=10, max_layers=3
)


def supernet(space=SPACE, **more):
    return Supernet(space, 10, seed=0, device=CPU, **more)


def images(count=4, shape=(1, 8, 8)):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))


def test_one_tensor_for_a_layer_at_a_depth_with_the_most_channels_that_it_reads():
    net = supernet(hidden=0)
    for path in [(0, 0), (1, 0), (2, 0)]:
        net.network([path])
    shapes = {
        name.split(" ")[0] + " " + name.rsplit(" ", 1)[-1]: tuple(weight.shape)
        for name, weight in net.state_dict()["weights"].items()
        if weight.ndim == 4
    }
    # conv4k3 at depth 2 reads 4, 8 or 1 channels.
    assert shapes == {
        "layer1_conv4k3 0.weight": (4, 1, 3, 3),
        "layer1_conv8k3 0.weight": (8, 1, 3, 3),
        "layer2_conv4k3 0.weight": (4, 8, 3, 3),
    }


def test_a_path_sees_what_another_one_learned_where_they_have_a_layer_in_common():
    net = supernet()
    shared, own = net.network([(0, 0)]), net.network([(1, 0)])
    before = net.network([(0, 0)])(images())
    with torch.no_grad():
        for weight, _ in own.weights_and_momenta:
            weight.mul_(1.5)
    after = net.network([(0, 0)])(images())
    # The first layers differ, the second is of the same name.
    assert shared.prefixes == ((0,), (0, 0))
    assert not torch.equal(before[1], after[1])


def test_a_trie_gives_what_each_path_gives_alone_to_the_bit():
    net = supernet()
    paths = [(0, 1, 2), (0, 1, 1), (1, 2, 0), (1,)]
    together = net.network(paths).train(mode=False)
    assert together.prefixes == prefixes(paths)
    logits = dict(zip(together.prefixes, together(images()), strict=True))
    for path in paths:
        alone = net.network([path]).train(mode=False)
        for prefix, own in zip(alone.prefixes, alone(images()), strict=True):
            assert torch.equal(logits[prefix], own)


def test_a_network_that_was_taken_before_a_tensor_grew_is_made_anew():
    net = supernet()
    old = net.network([(0, 0)])
    net.network([(1, 0)])
    new = net.network([(0, 0)])
    assert new is not old
    whole = {weight.data_ptr() for weight in net.state_dict()["weights"].values()}
    assert {weight.data_ptr() for weight, _ in new.weights_and_momenta} <= whole
    assert net.network([(0, 0)]) is new


def test_modules_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr("replaytree.networks.supernet.MAX_BLOCKS", 5)
    monkeypatch.setattr("replaytree.networks.supernet.MAX_NETWORKS", 2)
    net = supernet()
    first = net.network([(0, 0, 0)])(images())
    for path in [(1, 1, 1), (2, 2, 2), (0, 1, 0), (1, 0, 1)] * 2:
        net.network([path])
    assert len(net._blocks) == 5
    assert len(net._networks) == 2
    assert torch.equal(net.network([(0, 0, 0)])(images()), first)


def test_batch_norm_takes_the_statistics_of_the_batch():
    net = supernet()
    network = net.network([(0, 1)]).train(mode=False)
    alone, among_others = network(images(4)), network(torch.cat([images(4), 9.0 * images(4)]))[:, :4]
    assert not torch.allclose(alone, among_others)
    assert not [each for each in network.modules() if getattr(each, "running_mean", None) is not None]


@pytest.mark.parametrize("name", ["xu24", "tiny", "zoph", "enas-macro", "enas-micro", "darts", "nasnet"])
def test_a_network_has_the_parameters_of_the_path(name, random_paths):
    options = {"channels": 4} if name in ("enas-macro", "enas-micro", "darts", "nasnet") else {}
    space = named_space(name, input_shape=(3, 16, 16), num_classes=10, max_layers=4, **options)
    net = supernet(space, hidden=0)
    for path in random_paths(space, 3):
        network = net.network([path])
        found = sum(weight.numel() for weight, _ in network.weights_and_momenta)
        heads = sum((space.network(prefix).end_shape[0] + 1) * 10 for prefix in network.prefixes)
        graph = space.network(path)
        layers = graph.params - graph.head.params(graph.end_shape)
        if space.nested:
            merges = [space.network(prefix) for prefix in network.prefixes]
            assert all(each.merge is None or each.merge.params(*each.end_shapes) == 0 for each in merges)
            assert found == layers + heads
        else:
            assert found == graph.params
        assert network(images(2, (3, 16, 16))).shape == (len(network.prefixes), 2, 10)


def test_a_layer_of_ones_own_has_no_shared_weights():
    own = CustomLayer("own", lambda shape: nn.Identity(), output_shape=lambda shape: shape, cost=lambda shape: (0, 0))
    space = LayerSpace([Convolution(4, 3), own], input_shape=(1, 8, 8), num_classes=10, max_layers=2)
    with pytest.raises(SpaceError, match="layer 'own' is one of your own"):
        supernet(space).network([(0, 1)])


def test_where_a_network_reads_every_value_so_do_its_shared_heads():
    """A head of 4 x 8 x 8 values a class, and one of 4 x 4 x 4 behind a stride of 2."""

    class Flat(ChainPlan):
        def network(self, path):
            return replace(super().network(path), head=Classifier(self.num_classes, "flatten"))

    space = DecisionSpace(
        Flat(
            [Decision("stride", ("1", "2"))], lambda options: Convolution(4, 3, int(options["stride"])),
            input_shape=(1, 8, 8), num_classes=10, max_layers=2,
        )
    )  # fmt: skip
    gradients = []
    for discount in (1.0, 0.5):
        network = supernet(space, discount=discount).network([(0, 1)])
        logits = network(images())
        assert logits.shape == (2, 4, 10)
        logits[1].square().sum().backward()
        gradients.append(
            {tuple(p.shape): p.grad for module in network._modules_used for p in module.parameters() if p.grad.any()}
        )
    whole, halved = gradients
    # The head of depth 2 passes on half of its gradient; the one of depth 1 read nothing of it.
    assert [shape for shape in whole if len(shape) == 2] == [(10, 4 * 4 * 4)]
    torch.testing.assert_close(halved[4, 1, 3, 3], 0.5 * whole[4, 1, 3, 3])
    torch.testing.assert_close(halved[10, 64], whole[10, 64])
