from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from replaytree.data import load_data
from replaytree.networks.supernet import Supernet
from replaytree.space import Convolution, LayerSpace, Pooling, ResidualBlock
from replaytree.training.recipe import Recipe
from replaytree.training.shared import SupernetTraining

CPU = torch.device("cpu")
SPACE = LayerSpace(
    [Convolution(4, 3), Convolution(8, 4), ResidualBlock(4, 2), Pooling("max", 2, 2)],
    input_shape=(1, 8, 8),
    num_classes=10,
    max_layers=3,
)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=320)


def training(digits, *, discount=1.0, **recipe):
    net = Supernet(SPACE, 10, seed=0, device=CPU, discount=discount)
    return SupernetTraining(net, digits, recipe=Recipe(batch_size=32, **recipe))


def test_the_loss_of_a_class_is_weighted(digits):
    """A batch of one class alone has the gradient of its weight times that of other batches."""
    few = digits.train_labels == 3
    rare = replace(digits, train_images=torch.cat([digits.train_images[~few], digits.train_images[few][:4]]),
                   train_labels=torch.cat([digits.train_labels[~few], digits.train_labels[few][:4]]))  # fmt: skip
    factor = len(rare.train_labels) / (10 * 4)
    inputs, labels = next(training(rare).batches(seed=1))
    moved = []
    for recipe in ({}, {"class_weights": "balanced"}):
        own = training(rare, momentum=0.0, weight_decay=0.0, **recipe)
        network = own.supernet.network([(0, 1)])
        before = [weight.detach().clone() for weight, _ in network.weights_and_momenta]
        assert own.step((0, 1), inputs, torch.full_like(labels, 3), rate=1e-3)
        after = [weight.detach() for weight, _ in network.weights_and_momenta]
        moved.append(torch.cat([(new - old).flatten() for new, old in zip(after, before, strict=True)]))
    torch.testing.assert_close(moved[1], factor * moved[0], rtol=1e-2, atol=1e-6)


def tensors(each):
    return {kind: {n: t.clone() for n, t in own.items()} for kind, own in each.supernet.state_dict().items()}


@pytest.mark.parametrize("grown", [False, True])
def test_steps_are_those_of_torch_on_the_network_of_the_path(digits, grown):
    """Also where a weight is a part of a larger tensor, and lies in memory with gaps."""
    path = (0, 0, 2)
    own = training(digits)
    if grown:
        own.supernet.network([(1, 0, 0)])
        own.supernet.network([(0, 1, 2)])
    network = own.supernet.network([path])
    assert network.is_dense is not grown
    weights = [torch.nn.Parameter(weight.detach().clone()) for weight, _ in network.weights_and_momenta]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    batches = own.batches(seed=1)
    for _ in range(3):
        inputs, labels = next(batches)
        # The gradients of the same network at the same weights.
        for (weight, _), copy in zip(network.weights_and_momenta, weights, strict=True):
            assert torch.allclose(weight, copy, atol=1e-6)
        logits = network.train()(inputs)
        loss = sum(functional.cross_entropy(each, labels, label_smoothing=0.1) for each in logits)
        found = torch.autograd.grad(loss, [weight for weight, _ in network.weights_and_momenta])
        for copy, gradient in zip(weights, found, strict=True):
            copy.grad = gradient.clone()
        optimizer.step()
        assert own.step(path, inputs, labels, rate=0.1)
        assert own.supernet.network([path]) is network


def test_a_step_changes_the_weights_and_momenta_of_its_path_alone(digits):
    own = training(digits)
    own.supernet.network([(1, 0)])
    own.supernet.network([(0, 0)])
    before = tensors(own)
    assert own.step((0, 0), *next(own.batches(seed=0)), rate=0.1)
    after = tensors(own)
    for kind in ("weights", "momenta"):
        changed = {name.split()[0] for name in before[kind] if not torch.equal(before[kind][name], after[kind][name])}
        assert changed == {"layer1_conv4k3", "layer2_conv4k3", "head1", "head2"}
        [kernel] = [name for name in before[kind] if name.startswith("layer2_conv4k3") and name.endswith("0.weight")]
        # It reads four of the eight channels that the layer reads in the other path.
        assert torch.equal(before[kind][kernel][:, 4:], after[kind][kernel][:, 4:])
        assert not torch.equal(before[kind][kernel][:, :4], after[kind][kernel][:, :4])


def test_a_loss_that_is_not_finite_changes_nothing(digits):
    own = training(digits)
    inputs, labels = next(own.batches(seed=0))
    own.supernet.network([(0, 0)])
    before = tensors(own)
    assert not own.step((0, 0), inputs * torch.inf, labels, rate=0.1)
    after = tensors(own)
    assert all(torch.equal(before[kind][name], after[kind][name]) for kind in before for name in before[kind])
    assert all(weight.grad is None for weight, _ in own.supernet.network([(0, 0)]).weights_and_momenta)
    assert own.step((0, 0), inputs, labels, rate=0.1)


def test_a_share_of_a_batch_moves_the_weights_by_a_share_and_counts_as_one(digits):
    moved = []
    for rate, share in ((0.1, 1.0), (0.1, 0.25)):
        own = training(digits, momentum=0.0)
        own.supernet.network([(0,)])
        before = tensors(own)["weights"]
        assert own.step((0,), *next(own.batches(seed=0)), rate=rate, share=share)
        after = tensors(own)["weights"]
        moved.append({name: after[name] - before[name] for name in before})
        assert own.passes == share / own.steps(1.0)
    assert all(torch.allclose(0.25 * whole, moved[1][name], atol=1e-7) for name, whole in moved[0].items())
    assert any(whole.abs().max() > 1e-3 for whole in moved[0].values())


def test_a_layer_takes_the_gradients_of_later_heads_discounted(digits):
    """As in a joint training: that of the head s layers behind it times discount^s."""
    inputs, labels = next(training(digits).batches(seed=0))

    def gradients(discount, heads):
        own = training(digits, discount=discount, momentum=0.0, weight_decay=0.0)
        network = own.supernet.network([(0, 1)])
        logits = network.train()(inputs)
        sum(functional.cross_entropy(logits[head], labels) for head in heads).backward()
        for factor, layers in network.by_factor.items():
            for weight in layers:
                weight.grad *= factor
        return [weight.grad.clone() for weight, _ in network.weights_and_momenta[:6] if weight.grad is not None]

    plain = [gradients(1.0, [head]) for head in (0, 1)]
    both = gradients(0.5, [0, 1])
    # The first three are those of the first layer, then come those of its head.
    for place in range(3):
        assert torch.allclose(both[place], plain[0][place] + 0.5 * plain[1][place], atol=1e-6)


def test_a_long_gradient_is_shortened_and_a_short_one_is_not(digits):
    moved = {}
    for clip in (None, 1e-3, 1e6):
        net = Supernet(SPACE, 10, seed=0, device=CPU, discount=1.0)
        own = SupernetTraining(net, digits, recipe=Recipe(batch_size=32, momentum=0.0, weight_decay=0.0), clip=clip)
        net.network([(0, 0)])
        before = tensors(own)["weights"]
        assert own.step((0, 0), *next(own.batches(seed=0)), rate=2.0)
        after = tensors(own)["weights"]
        moved[clip] = torch.cat([(after[name] - before[name]).flatten() for name in before])
    assert torch.equal(moved[None], moved[1e6])
    # A step of the rate times the gradient, whose length is 0.001.
    assert moved[1e-3].norm().item() == pytest.approx(2e-3, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(moved[1e-3], moved[None], dim=0) > 0.999
