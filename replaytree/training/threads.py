"""How many threads a training takes: one, or several where its steps are large and the machine really gains by them.

Sums that are split over threads (batch norm, the gradients of weights) are rounded otherwise, so accuracies depend on
the number in their last digits. Trainings with small steps therefore take one thread on every machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from replaytree.cpus import usable_cpus

# Multiply-adds of a step's forward pass for each thread. Below it, handing out the work costs more than it gains.
WORK_A_THREAD = 2**28
# Several threads must be this much faster than one: they take the processors from others.
LEAST_GAIN = 1.15
MEASURED_SECONDS = 30.0
REPEATS = 3

_measured: dict[int, tuple[float, bool]] = {}


@dataclass(frozen=True, slots=True)
class Threads:
    """`most` threads always where that is `fixed`; else from one to `most`, by what a step computes and a measurement.

    `asked` is the number that was asked for; there may be fewer processors.
    """

    most: int
    fixed: bool = False
    asked: int | None = None

    @classmethod
    def of(cls, asked: int | None = None) -> Threads:
        """As asked for, or as OMP_NUM_THREADS says, or chosen; never more than this process may use."""
        usable = usable_cpus()
        if asked is None:
            first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
            asked = int(first) if first.isdecimal() and int(first) else None
        return cls(usable) if asked is None else cls(min(asked, usable), fixed=True, asked=asked)

    def shared_by(self, workers: int) -> Threads:
        """What each of some workers on this machine has of them: a fixed number, one unless more were asked for.

        What several workers measure would differ from worker to worker, and with it the last digits of accuracies.
        """
        if workers == 1:
            return self
        most = max(1, usable_cpus() // workers)
        return Threads(min(self.most, most) if self.fixed else 1, fixed=True, asked=self.asked)

    def number(self, multiply_adds: float) -> int:
        """For steps whose forward pass has so many multiply-adds. It may take a fraction of a second to measure."""
        if self.fixed:
            return self.most
        several = min(self.most, int(multiply_adds // WORK_A_THREAD))
        return several if several > 1 and _gains(several) else 1

    def __str__(self) -> str:
        if not self.fixed:
            return "1 thread" if self.most == 1 else f"1 to {self.most} threads"
        text = f"{self.most} thread{'s' * (self.most > 1)}"
        few = self.asked is not None and self.asked > self.most
        return f"{text} ({self.asked} were asked for; this process may use no more)" if few else text


def threads_on(threads: Threads | None, device: torch.device) -> Threads:
    """What was given or is chosen; one where the CPU only hands out the work."""
    return (threads or Threads.of()) if device.type == "cpu" else Threads(1)


@contextmanager
def using(number: int) -> Iterator[None]:
    """Let torch take so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _gains(several: int) -> bool:
    """Whether several threads are faster than one, as this machine is loaded now; known for MEASURED_SECONDS."""
    now = time.monotonic()
    known = _measured.get(several)
    if known is None or now - known[0] > MEASURED_SECONDS:
        one, many = measure(several)
        known = _measured[several] = time.monotonic(), one >= LEAST_GAIN * many
    return known[1]


def measure(several: int) -> tuple[float, float]:
    """Seconds of the least step that several threads may share: with one thread, and with several, in turn.

    The step is that of a training, also where a caller only predicts.
    """
    with torch.inference_mode(False), torch.enable_grad():
        return _measured_step(several)


def _measured_step(several: int) -> tuple[float, float]:
    with torch.random.fork_rng(devices=[]):
        chain: list[nn.Module] = []
        for _ in range(7):
            chain += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        network = nn.Sequential(*chain).to(memory_format=torch.channels_last)
        images_BCHW = torch.randn(16 * several, 16, 32, 32).contiguous(memory_format=torch.channels_last)
    seconds: dict[int, list[float]] = {1: [], several: []}
    for repeat in range(REPEATS + 1):
        for number, taken in seconds.items():
            with using(number):
                started = time.perf_counter()
                network(images_BCHW).sum().backward()
                # The first one prepares oneDNN.
                if repeat:
                    taken.append(time.perf_counter() - started)
    return min(seconds[1]), min(seconds[several])
