import gc
import logging
import weakref

import pytest
import torch
from torch import nn

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.evaluate import Concurrent
from replaytree.networks.trie import PrefixNetwork, SingleHead
from replaytree.records import PathEvaluation
from replaytree.space import Convolution, CustomLayer, LayerSpace, xu24
from replaytree.training import capture
from replaytree.training.baton import hand_on
from replaytree.training.capture import capturable, holds_memory, release_memory
from replaytree.training.loop import Training
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe
from replaytree.training.step import EAGER_STEPS, Step

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
ONE = torch.device("cuda:1")
FLOAT32 = Precision(torch.float32)
WARM = ["side waits for default", "default waits for side"]
CAPTURE = ["synchronize default", "begin", "end", "replay on default"]


class Probe(nn.Module):
    """A linear layer; `during` is called in every forward pass, with what it computed."""

    capturable = True

    def __init__(self, during=None):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.during = nn.Linear(4, 3), during

    def forward(self, images):
        logits = self.linear(images.flatten(1))
        if self.during is not None:
            self.during(logits)
        return logits[None]


def step_of(net, device=ONE):
    return Step(
        net,
        torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        label_smoothing=0.0,
        capture=True,
        device=device,
        precision=FLOAT32,
    )


def batches(count):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(5, 1, 2, 2, generator=generator), torch.randint(3, (5,), generator=generator))
        for _ in range(count)
    ]


def trained(step, count):
    step.begin()
    for images, labels in batches(count):
        step(images, labels)
    return step.losses()


def test_a_captured_step_is_warmed_up_captured_once_and_replayed(cuda):
    net, plain = Probe(), Probe()
    losses = trained(step_of(net), EAGER_STEPS + 3)
    assert cuda.calls == ["begin", "end", *EAGER_STEPS * WARM, *CAPTURE, *2 * ["replay on default"]]
    assert losses == trained(step_of(plain, torch.device("cpu")), EAGER_STEPS + 3)
    torch.testing.assert_close(net.linear.weight, plain.linear.weight, rtol=0, atol=0)


def test_one_stream_and_one_pool_serve_all_trainings_of_a_gpu(cuda):
    for _ in range(3):
        trained(step_of(Probe()), EAGER_STEPS + 1)
    assert [stream.device for stream in cuda.streams] == [ONE]
    # The keeper's graph and three trainings'.
    assert cuda.pools == 4 * [(0, 1)]
    assert "empty_cache" not in cuda.calls


def test_a_training_while_another_lives_has_a_stream_and_a_pool_of_its_own(cuda):
    steps = [step_of(Probe()) for _ in range(2)]
    for step in steps:
        trained(step, EAGER_STEPS + 1)
    assert cuda.pools == [(0, 1), (0, 1), (0, 2), (0, 2)]
    assert len(cuda.streams) == 2
    del steps[0], step
    trained(step_of(Probe()), EAGER_STEPS + 1)
    assert cuda.pools[-1] == (0, 1)
    assert len(cuda.streams) == 2


def test_trainings_at_once_have_pools_of_their_own_and_each_replays_on_its_own_stream(cuda, submit):
    losses = {}

    class Steps:
        def evaluate(self, paths, *, budget, seed):
            step = step_of(Probe())
            step.begin()
            for images, labels in batches(EAGER_STEPS + 3):
                step(images, labels)
                hand_on()
            losses[seed] = step.losses()
            return [PathEvaluation([0.5])]

    workers = Concurrent(Steps(), at_once=3, ahead=3, device=ONE)
    for number in range(3):
        submit(workers, number, [(0,)], budget=Budget(1), seed=number)
    assert sorted(workers.next()[0] for _ in range(3)) == [0, 1, 2]
    workers.close()
    alone = trained(step_of(Probe(), torch.device("cpu")), EAGER_STEPS + 3)
    assert list(losses.values()) == 3 * [alone]
    streams = {pool: {stream for own, stream in cuda.replays if own == pool} for pool, _ in cuda.replays}
    assert sorted(streams) == [(0, 1), (0, 2), (0, 3)]
    assert [len(own) for own in streams.values()] == [1, 1, 1]
    assert len(set.union(*streams.values()) - {cuda.default}) == 3
    # What each draws is its own.
    assert torch.cuda.default_generators[1].clones == 3
    # Nobody waits for all that the GPU does.
    assert not [call for call in cuda.calls if call.startswith("synchronize cuda")]


def test_a_step_without_layers_captures_anew_on_its_own_stream(cuda):
    step = step_of(Probe())
    trained(step, EAGER_STEPS + 1)
    step.reset()
    trained(step, EAGER_STEPS + 1)
    assert cuda.pools == 3 * [(0, 1)]
    assert cuda.calls.count("replay on default") == 2


def segment(stream, total, used, *, device=1, pool=(0, 0)):
    sizes = {"total_size": total, "allocated_size": used}
    return {"device": device, "stream": stream, "segment_pool_id": pool, **sizes}


def test_idle_memory_of_its_stream_is_given_back_before_a_capture_that_needs_it(cuda):
    cuda.segments = [segment(1, 60, 20), segment(1, 11, 1)]
    cuda.free = 49
    trained(step_of(Probe()), EAGER_STEPS + 1)
    assert cuda.calls[-5:] == ["synchronize default", "empty_cache", "begin", "end", "replay on default"]


def test_what_other_trainings_have_had_calls_for_no_memory(cuda):
    others = [segment(0, 99, 0), segment(2, 99, 0), segment(1, 99, 0, device=0), segment(1, 99, 0, pool=(0, 1))]
    cuda.segments = [*others, segment(1, 50, 1)]
    cuda.free = 49
    trained(step_of(Probe()), EAGER_STEPS + 1)
    assert cuda.calls[-4:] == CAPTURE


def failing(cuda, kind, text="no"):
    """A module that raises in a capture, and what its forward passes saw."""
    seen, kept = [], []

    def during(logits):
        seen.append((cuda.current, None if not kept else kept[-1]()))
        if cuda.capturing:
            kept.append(weakref.ref(logits))
            cuda.broken = True
            raise kind(text)

    return Probe(during), seen


def test_after_a_failed_capture_all_is_as_it_was_and_steps_run_eagerly(cuda, caplog):
    net, seen = failing(cuda, RuntimeError, "operation not permitted when stream is capturing\nmore")
    gc.disable()
    try:
        with caplog.at_level(logging.WARNING):
            trained(step_of(net), EAGER_STEPS + 2)
    finally:
        gc.enable()
    undone = ["endAllocateToPool 1", "reset", "reset", "empty_cache"]
    assert cuda.calls[2 + EAGER_STEPS * 2 :] == ["synchronize default", "begin", "end", *undone]
    # The eager step runs on the default stream, and nothing of the failed pass is left.
    assert seen[-2:] == 2 * [(cuda.default, None)]
    plain = Probe()
    trained(step_of(plain, torch.device("cpu")), EAGER_STEPS + 2)
    torch.testing.assert_close(net.linear.weight, plain.linear.weight, rtol=0, atol=0)
    assert [record.getMessage() for record in caplog.records] == [
        "a training step cannot be captured in a CUDA graph (RuntimeError: operation not permitted when stream is "
        "capturing); from here on steps run eagerly"
    ]


def test_after_one_failure_a_process_captures_no_more_and_says_so_once(cuda, caplog):
    waiting = step_of(Probe())
    trained(waiting, EAGER_STEPS)
    trained(step_of(failing(cuda, RuntimeError)[0]), EAGER_STEPS + 1)
    cuda.calls.clear()
    trained(waiting, 2)
    trained(step_of(failing(cuda, RuntimeError)[0]), EAGER_STEPS + 2)
    assert cuda.calls == []
    assert len(caplog.records) == 1


def test_a_capture_that_lacks_memory_ends_no_other(cuda, caplog):
    net, _ = failing(cuda, torch.OutOfMemoryError)
    trained(step_of(net), EAGER_STEPS + 2)
    assert not caplog.records
    cuda.calls.clear()
    trained(step_of(Probe()), EAGER_STEPS + 1)
    assert cuda.calls[-4:] == CAPTURE


def test_a_pool_that_torch_still_counts_as_used_is_let_go(cuda):
    cuda.segments = [segment(1, 9, 9, pool=(0, 1))]
    trained(step_of(failing(cuda, RuntimeError)[0]), EAGER_STEPS + 1)
    assert cuda.calls[-2:] == ["releasePool 1", "empty_cache"]


def test_ctrl_c_in_a_capture_is_no_failure(cuda):
    net, _ = failing(cuda, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(step_of(net), EAGER_STEPS + 1)
    assert cuda.current is cuda.default
    assert not capture._stopped


def test_memory_is_given_back_even_where_torch_refuses(cuda, monkeypatch, caplog):
    def refuses():
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    step = step_of(Probe())
    trained(step, EAGER_STEPS + 1)
    assert not holds_memory(ONE)
    del step
    assert holds_memory(ONE)
    monkeypatch.setattr(torch.cuda, "empty_cache", refuses)
    release_memory(ONE)
    assert not holds_memory(ONE)
    assert "torch cannot give back the memory that it keeps: RuntimeError: captures_underway" in caplog.text


def test_the_device_of_a_training_is_current_and_float32_is_whole_meanwhile(cuda):
    seen = []

    def during(_):
        kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
        seen.append((cuda.device, *(kind.fp32_precision for kind in kinds)))

    data = load_data("digits", train_limit=100)
    net = Probe(during)
    net.linear = nn.Linear(64, 10)
    training = Training(net, data, epochs=1, recipe=Recipe(batch_size=50), seed=0)
    before = torch.backends.cudnn.conv.fp32_precision
    training._device = ONE
    training.run(until=1)
    training.validate()
    assert set(seen) == {(1, "ieee", "ieee")}
    assert len(seen) > 2
    assert cuda.device == 0
    assert torch.backends.cudnn.conv.fp32_precision == before != "ieee"


class Waits(nn.Module):
    """A user's layer that asks for a value."""

    def forward(self, images):
        return images * (1.0 if images.sum().item() > 0 else 2.0)


@pytest.mark.parametrize(
    ("builder", "declared", "may"),
    [
        (lambda shape: Waits(), False, False),
        (lambda shape: Waits(), True, True),
        (lambda shape: nn.Sequential(nn.ReLU()), False, False),
        (lambda shape: Probe(), False, True),
    ],
)
def test_layers_of_ones_own_are_captured_where_they_are_declared(builder, declared, may):
    own = CustomLayer("own", builder, lambda shape: shape, lambda shape: (0, 0), capturable=declared)
    space = LayerSpace([Convolution(4, 3), own], input_shape=(1, 8, 8), num_classes=10, max_layers=2)
    for net in (PrefixNetwork(space, [(0, 1)], 10), SingleHead(space.build((0, 1), 10))):
        assert capturable(net) == may
    assert capturable(PrefixNetwork(space, [(0, 0)], 10))


def test_all_layers_of_ours_are_captured():
    space = LayerSpace(xu24(0.25), input_shape=(3, 32, 32), num_classes=10, max_layers=24)
    assert capturable(PrefixNetwork(space, [(action,) for action in range(24)], 10))


def test_an_undeclared_layer_is_never_captured(cuda):
    class Undeclared(Probe):
        capturable = None

    trained(step_of(Undeclared()), EAGER_STEPS + 2)
    assert cuda.calls == []


@pytest.mark.gpu
@NEEDS_CUDA
def test_a_failed_capture_leaves_the_process_usable(monkeypatch, caplog):
    monkeypatch.setattr(capture, "_stopped", [])

    class DeclaredWrongly(nn.Module):
        capturable = True

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, images):
            return self.linear(images.flatten(1) * images.sum().item())[None]

    device = torch.device("cuda", torch.cuda.current_device())
    for _ in range(2):
        net = DeclaredWrongly().cuda()
        step = step_of(net, device)
        step.begin()
        for images, labels in batches(EAGER_STEPS + 3):
            step(images.cuda(), labels.cuda())
        assert all(torch.isfinite(torch.tensor(step.losses())))
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    torch.cuda.empty_cache()
    assert len([r for r in caplog.records if "cannot be captured" in r.getMessage()]) == 1


class Drops(nn.Module):
    """Draws anew in each step, from torch's own generator."""

    capturable = True

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, images):
        return nn.functional.dropout(self.linear(images.flatten(1)), 0.5)[None]


class DropsInSteps:
    """An evaluator: as many steps of such a network, and the losses of each five of them."""

    def __init__(self, device):
        self.device, self.losses, self.captured = device, {}, []

    def evaluate(self, paths, *, budget, seed):
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            step = step_of(Drops().to(self.device), self.device)
            self.losses[seed] = []
            for _ in range(6):
                step.begin()
                for images, labels in batches(5):
                    step(images.to(self.device), labels.to(self.device))
                hand_on()
                self.losses[seed] += step.losses()
        self.captured.append(step.captured)
        return [PathEvaluation([0.5])]


@pytest.mark.parametrize(
    "name", ["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, NEEDS_CUDA])], ids=["cpu", "gpu"]
)
def test_what_captured_steps_draw_at_once_is_what_each_draws_alone(name):
    device = torch.device(name)
    found = []
    for at_once in (1, 4):
        drops = DropsInSteps(device)
        workers = Concurrent(drops, at_once=at_once, ahead=4, device=device)
        numbers = list(range(4))
        while len(drops.captured) < 4:
            while numbers and workers.free:
                workers.submit(numbers[0], [(0,)], budget=Budget(1), seed=numbers.pop(0))
            assert not isinstance(workers.next()[1], Exception)
        workers.close()
        assert drops.captured == 4 * [device.type == "cuda"]
        found.append([drops.losses[seed] for seed in range(4)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    assert len({round(losses[-1], 3) for losses in found[0]}) == 4


@pytest.mark.gpu
@NEEDS_CUDA
def test_thirty_trainings_leave_reserved_memory_flat():
    device = torch.device("cuda", torch.cuda.current_device())
    reserved = []
    for _ in range(30):
        step = step_of(Probe().cuda(), device)
        step.begin()
        for images, labels in batches(EAGER_STEPS + 3):
            step(images.cuda(), labels.cuda())
        assert step._graph is not None
        step.losses()
        reserved.append(torch.cuda.memory_reserved())
    assert reserved[-1] <= reserved[2]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_training_on_the_second_gpu_learns():
    data = load_data("digits", train_limit=600).to("cuda:1")
    space = LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=2)
    training = Training(PrefixNetwork(space, [(0, 1)], 10), data, epochs=8, recipe=Recipe(), seed=0)
    training.run(until=8)
    assert training._step._graph is not None
    assert max(training.validate()) > 0.5


def test_a_retraining_is_captured_and_averages_lists_that_were_made_once(cuda, monkeypatch):
    data = load_data("digits", train_limit=100)
    net = SingleHead(LayerSpace(xu24(0.25), input_shape=(1, 8, 8), num_classes=10, max_layers=1).build((0,), 10))
    recipe = Recipe(batch_size=20, average_share=0.5)
    training = Training(net, data, epochs=2, recipe=recipe, seed=0)
    training._device = ONE
    training._step = Step(net, training._optimizer, label_smoothing=0.1, capture=True, device=ONE, precision=FLOAT32)
    lists, real = [], torch._foreach_lerp_
    monkeypatch.setattr(torch, "_foreach_lerp_", lambda to, new, weight: lists.append(to) or real(to, new, weight))
    monkeypatch.setattr(nn.Module, "state_dict", None)
    training.run(until=2)
    assert training.captured
    assert cuda.calls.count("replay on default") == 10 - EAGER_STEPS
    assert len(lists) == 10
    assert len({id(tensor) for own in lists for tensor in own}) == len(lists[0])
