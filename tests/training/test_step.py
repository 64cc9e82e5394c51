import copy

import pytest
import torch
from torch import nn

from replaytree.data import load_data
from replaytree.networks.trie import DISCOUNT, PrefixNetwork
from replaytree.space import LayerSpace, xu24
from replaytree.training.images import validation_accuracies
from replaytree.training.loop import train
from replaytree.training.precision import whole_float32
from replaytree.training.recipe import Recipe
from replaytree.training.step import EAGER_STEPS, Step, logits_of

SPACE = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=3)
PATHS = [SPACE.parse("conv32k3 res64s2"), SPACE.parse("conv32k3 max2s2 conv32k4")]

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def network(discount=DISCOUNT):
    torch.manual_seed(0)
    return PrefixNetwork(SPACE, PATHS, 10, discount=discount)


def batch(count=32):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)


def sgd(net, **options):
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, **options)


def discounted(net, losses):
    """The gradients, head by head: a layer of depth t takes that of a head of depth s times DISCOUNT^(s - t)."""
    parameters = [(node, p) for node, layer in zip(net.nodes, net.layers, strict=True) for p in layer.parameters()]
    for node, parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
        for behind, loss in zip(net.nodes, losses, strict=True):
            [gradient] = torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)
            if gradient is not None:
                parameter.grad += DISCOUNT ** (len(behind) - len(node)) * gradient
    for parameter in net.heads.parameters():
        [parameter.grad] = torch.autograd.grad(losses.sum(), parameter, retain_graph=True)


def test_a_step_is_one_of_torch_on_the_discounted_gradients_of_the_heads():
    ours, reference = network(), network(discount=1.0)
    images, labels = batch()
    step = Step(ours, sgd(ours, fused=True), label_smoothing=0.1, capture=True, device=torch.device("cpu"))
    optimizer, criterion = sgd(reference, foreach=False), nn.CrossEntropyLoss(label_smoothing=0.1)
    step.begin()
    sums = torch.zeros(4)
    for _ in range(3):
        step(images, labels)
        losses = torch.stack([criterion(logits, labels) for logits in reference(images)])
        optimizer.zero_grad()
        discounted(reference, losses)
        optimizer.step()
        sums += losses.detach()
    torch.testing.assert_close(torch.tensor(step.losses()), sums)
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_heads_that_fail_first_are_named():
    class Falls(nn.Module):
        """Head 1 is infinite from the second step on, head 0 from the third."""

        def __init__(self):
            super().__init__()
            self.weight, self.steps = nn.Parameter(torch.zeros(3, 1, 10)), 0

        def forward(self, images):
            self.steps += 1
            bad = torch.tensor([self.steps > 2, self.steps > 1, False])
            return (self.weight + torch.where(bad, torch.inf, 0.0)[:, None, None]).expand(3, len(images), 10)

    falls = Falls()
    step = Step(
        falls,
        torch.optim.SGD(falls.parameters(), lr=0.0),
        label_smoothing=0.0,
        capture=False,
        device=torch.device("cpu"),
    )
    step.begin()
    for _ in range(3):
        step(*batch())
    assert step.first_to_fail() == (1,)
    step.begin()
    assert step.losses() == [0.0, 0.0, 0.0]


def test_what_was_dropped_is_left_alone():
    net = network()
    step = Step(net, sgd(net, fused=True), label_smoothing=0.1, capture=True, device=torch.device("cpu"))
    images, labels = batch()
    step.begin()
    step(images, labels)
    dropped = net.layers[net.nodes.index(PATHS[0])]
    before = copy.deepcopy(dropped.state_dict())
    net.keep(PATHS[1:])
    step.reset()
    step.begin()
    step(images, labels)
    assert len(step.losses()) == len(net.nodes) == 3
    assert all(torch.equal(value, before[name]) for name, value in dropped.state_dict().items())


@pytest.mark.gpu
@NEEDS_CUDA
def test_a_float32_step_is_the_same_on_cpu_and_gpu():
    networks = [network(), network().cuda()]
    images, labels = batch()
    for net, device in zip(networks, ("cpu", "cuda"), strict=True):
        optimizer = sgd(net, fused=True)
        # Convolutions in TF32 differ by more than the tolerance in 290 of 8,560 weights.
        with whole_float32(torch.device(device)):
            nn.functional.cross_entropy(
                net(images.to(device)).flatten(0, 1), labels.to(device).repeat(len(net.nodes)), reduction="sum"
            ).backward()
        optimizer.step()
    for here, there in zip(*(net.parameters() for net in networks), strict=True):
        torch.testing.assert_close(here, there.cpu(), atol=1e-3, rtol=1e-3)


@pytest.mark.gpu
@NEEDS_CUDA
def test_a_captured_step_trains_as_an_eager_one():
    trained = []
    for capture in (False, True):
        net = network().cuda().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            net.parameters(), lr=torch.tensor(0.01, device="cuda"), momentum=0.9, nesterov=True, fused=True
        )
        images, labels = (tensor.cuda() for tensor in batch(64))
        step = Step(net, optimizer, label_smoothing=0.1, capture=capture, device=images.device)
        step.begin()
        for start in range(EAGER_STEPS + 5):
            rolled = images.roll(start, dims=0).contiguous(memory_format=torch.channels_last)
            step(rolled, labels.roll(start))
        trained.append((step.losses(), logits_of(net.eval(), images)))
    torch.testing.assert_close(*(torch.tensor(losses) for losses, _ in trained), atol=0.05, rtol=0.02)
    torch.testing.assert_close(*(logits for _, logits in trained), atol=0.1, rtol=0.1)


@pytest.mark.gpu
@NEEDS_CUDA
def test_cpu_and_gpu_agree_within_noise():
    data = load_data("digits", train_limit=600)
    best = []
    for device in ("cpu", "cuda"):
        net, there = network().to(device).to(memory_format=torch.channels_last), data.to(device)
        train(net, there, epochs=8, recipe=Recipe(), seed=0)
        best.append(max(validation_accuracies(net, there, recipe=Recipe())))
    assert best[0] == pytest.approx(best[1], abs=0.1)


class Two(nn.Module):
    """Two heads of their own on what a layer makes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.heads = nn.Linear(64, 16), nn.ModuleList([nn.Linear(16, 10), nn.Linear(16, 10)])

    def forward(self, images):
        body = self.body(images.flatten(1))
        return torch.stack([head(body) for head in self.heads])


@pytest.mark.parametrize("clip", [None, 0.01, 1e6])
def test_heads_are_weighted_and_long_gradients_shortened_as_torch_does(clip):
    ours, reference = Two(), Two()
    images, labels = batch()
    options = {"head_weights": (1.0, 0.4), "grad_clip": clip, "label_smoothing": 0.0, "capture": False}
    step = Step(ours, sgd(ours, fused=True), device=torch.device("cpu"), **options)
    optimizer = sgd(reference)
    step.begin()
    for _ in range(3):
        step(images, labels)
        first, second = (nn.functional.cross_entropy(logits, labels) for logits in reference(images))
        optimizer.zero_grad()
        (first + 0.4 * second).backward()
        if clip is not None:
            length = float(nn.utils.clip_grad_norm_(reference.parameters(), clip))
            assert 0.01 < length < 1e6
        optimizer.step()
    for own, other in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, other)
    # What is told of the heads is not weighted.
    assert step.losses()[1] > 2.0
