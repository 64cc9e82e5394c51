"""Threads that train by turns on a GPU: which stream each works on, and whose the generator's state is."""

import threading
from contextlib import contextmanager
from functools import partial

import torch

from replaytree.training import baton
from replaytree.training.baton import Relay, hand_on, using_memory

GPU = torch.device("cuda:1")


class Event:
    def __init__(self, gpu, blocking):
        assert blocking
        self.gpu = gpu

    def record(self, stream):
        self.stream = stream
        self.gpu.calls.append(f"record on {stream}")

    def synchronize(self):
        # A thread that waits for the GPU has handed the baton on.
        assert self.gpu.relay.holder != threading.get_ident()
        self.gpu.calls.append(f"event of {self.stream}")


class Stream:
    def __init__(self, gpu, number):
        self.gpu, self.number = gpu, number

    def __repr__(self):
        return f"stream {self.number}"

    def wait_stream(self, other):
        self.gpu.calls.append(f"{self} waits for {other}")

    def synchronize(self):
        self.gpu.calls.append(f"synchronize {self}")


class Generator:
    """Of torch's generators for GPUs, what a Standing moves: which state is in use, and copies of one."""

    def __init__(self, state):
        self.state = state

    def graphsafe_get_state(self):
        return Generator(self.state)

    def clone_state(self):
        return Generator(list(self.state))

    def graphsafe_set_state(self, other):
        self.state = other.state


class Gpu:
    """Streams that are current for a thread, and a generator whose state may be another's."""

    def __init__(self, monkeypatch):
        self.calls, self.made, self.here = [], 0, threading.local()
        self.generator = Generator([5])
        for name, value in {
            "init": lambda: None, "Stream": self._stream, "stream": self._within, "Event": partial(Event, self),
            "current_stream": lambda device: getattr(self.here, "stream", "default"),
            "device": self._on, "default_generators": (None, self.generator),
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(baton, "_streams", {})
        self.relay = Relay(GPU)

    def _stream(self, device):
        assert device == GPU
        self.made += 1
        return Stream(self, self.made - 1)

    @contextmanager
    def _within(self, stream):
        self.here.stream = stream
        yield
        self.here.stream = "default"

    @contextmanager
    def _on(self, device):
        self.here.device = device
        yield
        self.here.device = None


def test_on_a_gpu_each_has_a_stream_of_its_own_and_waits_for_it_without_the_baton(monkeypatch, together):
    gpu, seen = Gpu(monkeypatch), []

    def trains(name):
        seen.append((name, repr(torch.cuda.current_stream(GPU)), gpu.here.device))
        hand_on()
        seen.append((name, repr(torch.cuda.current_stream(GPU)), gpu.here.device))

    together(partial(trains, "a"), partial(trains, "b"), device=GPU, relay=gpu.relay)
    assert sorted(seen) == 2 * [("a", "stream 0", GPU)] + 2 * [("b", "stream 1", GPU)]
    assert [call for call in gpu.calls if "0" in call] == [
        "stream 0 waits for default", "record on stream 0", "event of stream 0", "synchronize stream 0",
    ]  # fmt: skip
    # In the next run there are the same streams: torch has 32.
    gpu.relay = Relay(GPU)
    together(partial(trains, "c"), device=GPU, relay=gpu.relay)
    assert gpu.made == 2


def test_what_a_training_leaves_on_a_gpu_is_done_before_another_may_take_it(monkeypatch, together):
    gpu = Gpu(monkeypatch)

    def trains():
        with using_memory(1, limit=2):
            gpu.calls.clear()
        return list(gpu.calls)

    assert together(trains, device=GPU, relay=gpu.relay) == [["synchronize stream 0"]]


def test_on_a_gpu_the_generators_state_goes_with_the_baton_and_is_no_copy(monkeypatch, together):
    gpu = Gpu(monkeypatch)
    own = gpu.generator
    main, seen = own.state, []

    def draws(name):
        state = own.state
        for _ in range(2):
            assert own.state is state
            state.append(name)
            hand_on()
        seen.append(state)

    together(partial(draws, 1), partial(draws, 2), device=GPU, relay=gpu.relay)
    assert sorted(seen) == [[5, 1, 1], [5, 2, 2]]
    assert own.state is main
    assert main == [5]


def test_how_float32_is_rounded_goes_with_the_baton(monkeypatch, together):
    gpu, seen = Gpu(monkeypatch), []
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision

    def trains(kind):
        conv.fp32_precision = kind
        hand_on()
        seen.append((kind, conv.fp32_precision))

    together(partial(trains, "ieee"), partial(trains, "tf32"), device=GPU, relay=gpu.relay)
    assert sorted(seen) == [("ieee", "ieee"), ("tf32", "tf32")]
    assert conv.fp32_precision == before
