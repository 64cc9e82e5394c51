"""What the steps of a GPU's bench share: the images, the paths, the deadline, and how a run is timed and profiled.

Shapes: B images a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from replaytree.bench.evaluator import tree_paths
from replaytree.config import SearchConfig
from replaytree.data import ImageData, load_data
from replaytree.networks.trie import PrefixNetwork
from replaytree.records import Path
from replaytree.space import LayerSpace, xu24
from replaytree.training import Recipe
from replaytree.training.step import EAGER_STEPS, Step

POSTER = "res128 conv32k3 conv32k3 res64 avg2s2 res64 res64 conv128k4 conv64k3"
WIDE = (
    "conv128k3 conv128k5 res128 conv128k4 res128 conv128k3 res128 conv128k5 res128 conv128k4 max2s2 res128 conv128k3 "
)
WIDE += "res128 avg2s2"
FIXED = {"poster": POSTER, "wide": WIDE}
# How the profiler's events (kernels of a GPU, operators of a CPU) are told apart; the first that fits counts.
KINDS = {
    "batch norm": (
        "batch_norm", "batchnorm", "bn_fw", "bn_bw",
        "_sums", "_statistics", "_normalised", "_parameter_gradients", "_input_gradient",
    ),
    "convolutions": ("conv", "fprop", "dgrad", "wgrad", "cudnn", "implicit"),
    "heads": ("bmm", "gemm", "nvjet", "splitk", "adaptive_av", "_averages", "_spread", "softmax", "nll_loss"),
    "pooling": ("pool",),
    "ReLU and sums": ("clamp", "relu", "threshold", "functor_add", "binaryfunctor", "aten::add"),
    "optimiser": ("fused_sgd", "multi_tensor", "foreach"),
    "copies": ("memcpy", "memset", "copy", "clone", "contiguous", "fill"),
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What the steps share. `deadline` is of time.monotonic(); `small` says that this is a trial on a CPU."""

    device: torch.device
    dataset: str
    data: ImageData
    data_dir: str | None
    space: LayerSpace
    width: float
    paths: dict[str, Path]
    batches: tuple[int, ...]
    repeats: int
    small: bool
    deadline: float

    @classmethod
    def made(cls, device: torch.device, *, data_dir: str | None, small: bool, deadline: float) -> Bench:
        """Full width and CIFAR-10; a quarter of the width, digits and the first three layers of each path if small."""
        dataset, width = ("digits", 0.25) if small else ("cifar10", 1.0)
        data = load_data(dataset, data_dir=data_dir, train_limit=200 if small else None).to(device)
        space = LayerSpace(xu24(width), input_shape=data.image_shape, num_classes=data.num_classes, max_layers=15)
        [random] = tree_paths(space, depth=3 if small else 15, count=1, seed=0)
        # Digits have 8 pixels a side, so all paths are short there.
        fixed = {name: space.parse(" ".join(text.split()[: 3 if small else 15])) for name, text in FIXED.items()}
        paths = {**fixed, "random": random}
        batches = (16, 32) if small else (64, 256, 512, 1024)
        return cls(device, dataset, data, data_dir, space, width, paths, batches, 2 if small else 30, small, deadline)

    @property
    def usual(self) -> int:
        """The batch of searches."""
        return 32 if self.small else 512

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def late(self) -> bool:
        """Whether a step is to end with the rows that it has; what is small is always whole."""
        return not self.small and self.left < 0.0

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """Wall seconds of a run, waited for."""
        self.wait()
        started = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - started

    def network(self, paths: Sequence[Path]) -> nn.Module:
        """The trie of some paths on the device."""
        torch.manual_seed(0)
        network = PrefixNetwork(self.space, paths, self.data.num_classes)
        return network.to(self.device).to(memory_format=torch.channels_last).train()

    def stepping(
        self, network: nn.Module, batch: int, *, capture: bool, fuse: bool = True
    ) -> tuple[Step, Callable[[], None]]:
        """A step of a network, warmed up, and what runs it once."""
        rate = torch.tensor(0.01, device=self.device) if self.device.type == "cuda" else 0.01
        optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, nesterov=True, fused=True)
        step = Step(network, optimizer, label_smoothing=0.1, capture=capture, device=self.device, fuse=fuse)
        images_BCHW = torch.randn(batch, *self.data.image_shape, device=self.device)
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        labels_B = torch.arange(batch, device=self.device) % self.data.num_classes
        for _ in range(EAGER_STEPS + 2):
            step(images_BCHW, labels_B)
        return step, lambda: step(images_BCHW, labels_B)

    def recipe(self, batch: int, rate: float) -> Recipe:
        """The recipe of a search, with batches of this size."""
        return replace(Recipe.of(SearchConfig(dataset=None), self.data), batch_size=batch, learning_rate=rate)


def profiled(bench: Bench, run: Callable[[], None]) -> dict[str, tuple[int, float]]:
    """Count and seconds of what one run computes, by kind; of kernels on a GPU, of operators on a CPU."""
    gpu = bench.device.type == "cuda"
    # The profiler tells standard error what it does, and on a CPU that it finds no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    activity = torch.profiler.ProfilerActivity.CUDA if gpu else torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profile:
        run()
        bench.wait()
    found: dict[str, tuple[int, float]] = {}
    for event in profile.key_averages():
        spent = event.self_device_time_total if gpu else event.self_cpu_time_total
        if spent > 0:
            name = event.key.lower()
            kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "other")
            count, seconds = found.get(kind, (0, 0.0))
            found[kind] = count + event.count, seconds + spent / 1e6
    return found
