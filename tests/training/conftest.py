"""A CUDA that only records: which calls of torch.cuda are made, in which order, on which stream and device.

What is captured in a graph runs on the CPU at once, and again at each replay but the first.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import warnings
import weakref
from collections import deque
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from replaytree.training import baton, capture, step
from replaytree.training.baton import Relay, Runner, Standing

CPU = torch.device("cpu")


class Stream:
    def __init__(self, cuda, device):
        self.cuda, self.device = cuda, torch.device(device)

    def __repr__(self):
        return "default" if self is self.cuda.default else "side"

    @property
    def cuda_stream(self):
        return 0 if self is self.cuda.default else 1 + self.cuda.streams.index(self)

    def wait_stream(self, other):
        self.cuda.calls.append(f"{self} waits for {other}")

    def synchronize(self):
        self.cuda.calls.append(f"synchronize {self}")


class Graph:
    def __init__(self, cuda):
        self.cuda, self.run, self.fresh = cuda, None, True

    def capture_begin(self, *, pool, capture_error_mode):
        assert (self.cuda.current, capture_error_mode) != (self.cuda.default, "global")
        self.cuda.calls.append("begin")
        self.cuda.pools.append(pool)
        self.pool = pool
        self.cuda.capturing = self

    def capture_end(self):
        self.cuda.capturing = None
        self.cuda.calls.append("end")
        if self.cuda.broken:
            self.cuda.broken = False
            raise RuntimeError("operation failed due to a previous error during capture")
        if self.run is None:
            warnings.warn("The CUDA Graph is empty", stacklevel=2)

    def replay(self):
        self.cuda.calls.append(f"replay on {self.cuda.current}")
        self.cuda.replays.append((self.pool, self.cuda.current))
        if not self.fresh:
            # A graph was captured without gradients: it writes them, and adds to none.
            method, args = self.run
            method().__self__._optimizer.zero_grad(set_to_none=True)
            method()(*args)
        self.fresh = False

    def reset(self):
        self.cuda.calls.append("reset")


class Generator:
    """Of torch's generators for GPUs: a state that may be another's."""

    clones = 0

    def graphsafe_get_state(self):
        return self

    def clone_state(self):
        self.clones += 1
        return self

    def graphsafe_set_state(self, other):
        pass


class Event:
    def __init__(self, cuda, blocking):
        self.cuda = cuda

    def record(self, stream):
        assert stream is self.cuda.current

    def synchronize(self):
        assert self.cuda.capturing is None


class FakeCuda:
    """`device` is the current device, `streams` those that were made, `pools` those that were captured into."""

    def __init__(self, monkeypatch):
        self.calls, self.streams, self.pools = [], [], []
        self.device, self.capturing, self.broken, self.free = 0, None, False, 100
        self.segments = []
        self.replays, self._here = [], threading.local()
        self.default = Stream(self, "cuda:0")
        self.handles = 0
        for name, value in {
            "device": self._on, "Stream": self._stream, "stream": self._within, "CUDAGraph": lambda: Graph(self),
            "current_stream": lambda device: self.current, "graph_pool_handle": self._handle,
            "synchronize": lambda device: self.calls.append(f"synchronize {device}"),
            "mem_get_info": lambda device: (self.free, 1000),
            "empty_cache": self.empty_cache, "memory_snapshot": lambda: self.segments,
            "get_device_capability": lambda device: (5, 0),
            "init": lambda: None, "Event": partial(Event, self), "default_generators": (None, Generator()),
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)
        for name in ("endAllocateToPool", "releasePool"):
            monkeypatch.setattr(
                torch._C, f"_cuda_{name}", lambda index, pool, name=name: self.calls.append(f"{name} {index}")
            )
        monkeypatch.setattr(capture, "_sides", {})
        monkeypatch.setattr(baton, "_streams", {})
        monkeypatch.setattr(capture, "_stopped", [])
        real = capture.captured

        def captured(side, run):
            return real(side, lambda: self._record(run))

        monkeypatch.setattr(step, "captured", captured)

    @property
    def current(self):
        """The stream that is current for a thread."""
        return getattr(self._here, "stream", self.default)

    @current.setter
    def current(self, stream):
        self._here.stream = stream

    def _record(self, run):
        # Not `run` itself: a graph does not keep what it was captured from.
        self.capturing.run = weakref.WeakMethod(run.func), run.args
        run()

    def _handle(self):
        self.handles += 1
        return (0, self.handles)

    def _stream(self, device):
        self.streams.append(Stream(self, device))
        return self.streams[-1]

    def empty_cache(self):
        self.calls.append("empty_cache")

    @contextmanager
    def _on(self, device):
        before, self.device = self.device, torch.device(device).index
        yield
        self.device = before

    def _within(self, stream):
        return Within(self, stream)


class Within:
    """A stream is current until this is left, as in torch: no generator, whose end would tidy up what nobody left."""

    def __init__(self, cuda, stream):
        self.cuda, self.stream = cuda, stream

    def __enter__(self):
        self.before, self.cuda.current = self.cuda.current, self.stream

    def __exit__(self, *_):
        self.cuda.current = self.before


@pytest.fixture
def cuda(monkeypatch):
    return FakeCuda(monkeypatch)


@pytest.fixture
def interpreted():
    """Runs the tests of a file of kernels where Triton interprets, and says how many passed and were skipped.

    What to do with a kernel is settled where Triton is imported, and torch may have done so: hence another process.
    """

    def run(file):
        command = [sys.executable, "-m", "pytest", file, "-p", "no:cacheprovider", "-n0"]
        environment = {**os.environ, "TRITON_INTERPRET": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stdout[-3000:]
        return tuple(int(re.search(rf"(\d+) {word}", done.stdout)[1]) for word in ("passed", "skipped"))

    return run


class Queue(deque):
    """Tells when a thread has begun to wait."""

    def __init__(self):
        super().__init__()
        self.came = threading.Semaphore(0)

    def append(self, lock):
        super().append(lock)
        self.came.release()


def _together(*jobs, device=CPU, relay=None):
    """What the jobs return or raise, each in a thread of its own, begun in this order."""
    relay = relay or Relay(device)
    relay._queue = Queue()
    outcomes = [None] * len(jobs)

    def work(place, standing):
        outcomes[place] = Runner(relay, place).run(jobs[place], standing)

    threads = [
        threading.Thread(target=work, args=(place, Standing(device, copied=True)), daemon=True)
        for place in range(len(jobs))
    ]
    for thread in threads:
        thread.start()
        assert relay._queue.came.acquire(timeout=60)
    with relay.given():
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    return outcomes


@pytest.fixture
def together():
    """Runs jobs at once."""
    return _together
