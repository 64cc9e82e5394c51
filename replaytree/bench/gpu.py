"""Everything that is to be known of a GPU, in one command that ends in time: step by step, the most needed first.

Shapes: B images a batch, C channels, H rows, W columns. On a CPU the same steps run small (`smoke`), so that the
command is known to work before there is a GPU to run it on.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any

import torch
from scipy.stats import kendalltau
from torch import nn

from replaytree.bench.evaluator import matrix_peak, tree_paths
from replaytree.bench.machine import machine
from replaytree.config import Budget, SearchConfig
from replaytree.config.retraining import RetrainOptions
from replaytree.data import ImageData, load_data
from replaytree.deliver.retrain import Retraining
from replaytree.deliver.subject import Subject
from replaytree.errors import ConfigError
from replaytree.evaluate import JointEvaluator
from replaytree.networks.trie import PrefixNetwork, SingleHead
from replaytree.records import Path
from replaytree.space import Convolution, CustomLayer, LayerSpace, trie_cost, xu24
from replaytree.training import Precision, Recipe, resolve_device, why_no_gpu
from replaytree.training.device import on
from replaytree.training.loop import Training
from replaytree.training.precision import whole_float32
from replaytree.training.step import EAGER_STEPS, Step

POSTER = "res128 conv32k3 conv32k3 res64 avg2s2 res64 res64 conv128k4 conv64k3"
WIDE = (
    "conv128k3 conv128k5 res128 conv128k4 res128 conv128k3 res128 conv128k5 res128 conv128k4 max2s2 res128 conv128k3 "
)
WIDE += "res128 avg2s2"
GIB = 2**30
# How the profiler's events (kernels of a GPU, operators of a CPU) are told apart; the first that fits counts.
KINDS = {
    "batch norm": ("batch_norm", "batchnorm", "bn_fw", "bn_bw"),
    "convolutions": ("conv", "fprop", "dgrad", "wgrad", "cudnn", "implicit"),
    "heads": ("bmm", "gemm", "adaptive_avg_pool", "softmax", "nll_loss"),
    "pooling": ("pool",),
    "optimiser": ("fused_sgd", "multi_tensor", "foreach"),
    "copies": ("memcpy", "memset", "copy", "clone", "contiguous"),
}


@dataclass(frozen=True)
class Bench:
    """What the steps share. `deadline` is of time.monotonic(); `small` says that this is a trial on a CPU."""

    device: torch.device
    dataset: str
    data: ImageData
    data_dir: str | None
    space: LayerSpace
    paths: dict[str, Path]
    batches: tuple[int, ...]
    repeats: int
    small: bool
    deadline: float

    @classmethod
    def made(cls, device: torch.device, *, data_dir: str | None, small: bool, deadline: float) -> Bench:
        """Full width and CIFAR-10; a quarter of the width, digits and the first three layers of each path if small."""
        dataset = "digits" if small else "cifar10"
        data = load_data(dataset, data_dir=data_dir, train_limit=200 if small else None).to(device)
        space = LayerSpace(
            xu24(0.25 if small else 1.0), input_shape=data.image_shape, num_classes=data.num_classes, max_layers=15
        )
        [random] = tree_paths(space, depth=3 if small else 15, count=1, seed=0)
        # Digits have 8 pixels a side, so all paths are short there.
        fixed = {name: space.parse(" ".join(text.split()[: 3 if small else 15])) for name, text in FIXED.items()}
        paths = {**fixed, "random": random}
        batches = (16, 32) if small else (64, 256, 512, 1024)
        return cls(device, dataset, data, data_dir, space, paths, batches, 2 if small else 30, small, deadline)

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

    def stepping(self, network: nn.Module, batch: int, *, capture: bool) -> tuple[Step, Callable[[], None]]:
        """A step of a network, warmed up, and what runs it once."""
        rate = torch.tensor(0.01, device=self.device) if self.device.type == "cuda" else 0.01
        optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, nesterov=True, fused=True)
        step = Step(network, optimizer, label_smoothing=0.1, capture=capture, device=self.device)
        images_BCHW = torch.randn(batch, *self.data.image_shape, device=self.device)
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        labels_B = torch.arange(batch, device=self.device) % self.data.num_classes
        for _ in range(EAGER_STEPS + 2):
            step(images_BCHW, labels_B)
        return step, lambda: step(images_BCHW, labels_B)

    def recipe(self, batch: int, rate: float) -> Recipe:
        """The recipe of a search, with batches of this size."""
        return replace(Recipe.of(SearchConfig(dataset=None), self.data), batch_size=batch, learning_rate=rate)


FIXED = {"poster": POSTER, "wide": WIDE}


def versions(bench: Bench) -> dict[str, Any]:
    """Versions, precision, peak of matrix products and rate of copies to the device."""
    found: dict[str, Any] = {**machine(), "device": str(bench.device), "precision": str(Precision.of(bench.device))}
    if bench.device.type == "cuda":
        found["card"] = torch.cuda.get_device_name(bench.device)
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(bench.device)))
        found["bf16_peak_flops"] = matrix_peak(bench.device)
        block = torch.zeros(GIB // 4, dtype=torch.uint8).pin_memory()
        block.to(bench.device)
        found["copy_bytes_a_second"] = len(block) / bench.seconds(lambda: block.to(bench.device, non_blocking=True))
    return found


def essentials(bench: Bench) -> dict[str, Any]:
    """What must work: a captured training, one whose layer waits, another, a lack of memory, and the device by name."""

    class Waits(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * (1.0 if images.sum().item() != 0.0 else 2.0)

    own = CustomLayer("waits", lambda _: Waits(), lambda shape: shape, lambda _: (0, 0))
    space = LayerSpace([Convolution(32, 3), own], input_shape=bench.data.image_shape, num_classes=10, max_layers=2)

    def train(path: Path, data: ImageData) -> dict[str, Any]:
        recipe = bench.recipe(bench.batches[0], 0.1)
        training = Training(PrefixNetwork(space, [path], 10), data, epochs=1, recipe=recipe, seed=0)
        seconds = bench.seconds(lambda: training.run(until=1))
        return {"captured": training.captured, "accuracy": training.validate()[-1], "seconds": seconds}

    found = {"captured": train((0, 0), bench.data), "waiting": train((0, 1), bench.data)}
    found["after waiting"] = train((0, 0), bench.data)
    if bench.device.type == "cuda":
        huge = bench.recipe(len(bench.data.train_labels), 0.1)
        evaluator = JointEvaluator(bench.space, bench.data, recipe=huge, device=bench.device, memory_bytes=2**62)
        [evaluation] = evaluator.evaluate([bench.paths["wide"]], budget=Budget(1), seed=0)
        found["huge batch"] = {"failure": evaluation.failure, "text": evaluation.failure_text}
        found["after huge batch"] = train((0, 0), bench.data)
    found["by name"] = train((0, 0), bench.data.to(str(bench.device)))
    return found


def steps(bench: Bench) -> dict[str, Any]:
    """Each path and batch size: milliseconds a step, share of the peak, memory; kernels (on a CPU operators) a step."""
    peak = matrix_peak(bench.device) if bench.device.type == "cuda" else None
    rows = []
    for name, path in bench.paths.items():
        flops = trie_cost(bench.space, [path]).flops
        for batch, capture in [(bench.batches[0], False), *((batch, True) for batch in bench.batches)]:
            if bench.late:
                break
            if bench.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(bench.device)
            step, run = bench.stepping(bench.network([path]), batch, capture=capture)
            seconds = median(bench.seconds(run) for _ in range(bench.repeats))
            rows.append({
                "path": name, "layers": len(path), "batch": batch, "captured": step.captured, "ms": seconds * 1e3,
                "peak_share": 6 * flops * batch / seconds / peak if peak else None,
                "bytes": torch.cuda.max_memory_allocated(bench.device) if bench.device.type == "cuda" else None,
            })  # fmt: skip
            if not capture:
                rows[-1]["kernels"] = sum(count for count, _ in _profiled(bench, run).values())
            del step, run
    return {"rows": rows}


def split(bench: Bench) -> dict[str, Any]:
    """Shares of the time of an eager step by kind of kernel, at the largest batch that the searches use."""
    batch = 32 if bench.small else 512
    shares = {}
    for name, path in bench.paths.items():
        _, run = bench.stepping(bench.network([path]), batch, capture=False)
        found = _profiled(bench, run)
        total = sum(seconds for _, seconds in found.values()) or 1.0
        shares[name] = {kind: {"count": n, "share": own / total} for kind, (n, own) in sorted(found.items())}
    return {"batch": batch, "shares": shares}


def tries(bench: Bench) -> dict[str, Any]:
    """Milliseconds a step of 1, 2, 4 and 8 paths that are trained together as a trie."""
    batch, depth = (32, 2) if bench.small else (512, 10)
    paths = tree_paths(bench.space, depth=depth, count=8, seed=0)
    found = {}
    for count in (1, 2, 4, 8):
        _, run = bench.stepping(bench.network(paths[:count]), batch, capture=True)
        found[str(count)] = median(bench.seconds(run) for _ in range(bench.repeats)) * 1e3
    return {"batch": batch, "ms": found}


def trainings(bench: Bench) -> dict[str, Any]:
    """Thirty short trainings: seconds of each beyond its steps, and the memory that is reserved after it."""
    count, batch = (3, 32) if bench.small else (30, 512)
    paths = tree_paths(bench.space, depth=2 if bench.small else 10, count=count, seed=1)
    recipe = bench.recipe(batch, 0.1)
    evaluator = JointEvaluator(bench.space, bench.data, recipe=recipe, device=bench.device)
    rows = []
    for path in paths:
        if bench.late:
            break
        whole = bench.seconds(lambda path=path: evaluator.evaluate([path], budget=Budget(1), seed=0))  # type: ignore[misc]
        training = Training(bench.network([path]), bench.data, epochs=2, recipe=recipe, seed=0)
        training.run(until=1)
        own = bench.seconds(lambda training=training: training.run(until=2))  # type: ignore[misc]
        reserved = torch.cuda.memory_reserved(bench.device) if bench.device.type == "cuda" else None
        rows.append({"seconds": whole, "beyond": whole - own, "reserved": reserved})
    return {"batch": batch, "median_beyond": median([row["beyond"] or 0.0 for row in rows] or [0.0]), "rows": rows}


def faithfulness(bench: Bench) -> dict[str, Any]:
    """Whether large batches rank chains as batches of 64 do: accuracies, their mean and tau, at three rates."""
    count, epochs, large = (3, 1, 64) if bench.small else (6, 4, 512)
    paths = tree_paths(bench.space, depth=2 if bench.small else 10, count=count, seed=2)
    own: list[dict[str, Any]] = []
    for batch, rate in [(16 if bench.small else 64, 0.1), (large, 0.1), (large, 0.4), (large, 0.8)]:
        if bench.late:
            break
        evaluator = JointEvaluator(bench.space, bench.data, recipe=bench.recipe(batch, rate), device=bench.device)
        scores: list[float] = []
        seconds = bench.seconds(
            lambda evaluator=evaluator, scores=scores: scores.extend(  # type: ignore[misc]
                accuracy
                for path in paths
                for accuracy in evaluator.evaluate([path], budget=Budget(epochs), seed=0)[0].accuracies
            )
        )
        alike = bool(own) and len(scores) == len(own[0]["accuracies"])
        tau = float(kendalltau(own[0]["accuracies"], scores).statistic) if alike else math.nan
        own.append({
            "batch": batch, "rate": rate, "seconds": seconds, "accuracies": scores,
            "mean": mean(scores) if scores else None, "tau": None if math.isnan(tau) else tau,
        })  # fmt: skip
    return {"epochs": epochs, "rows": own}


def retraining(bench: Bench) -> dict[str, Any]:
    """The step of a retraining, eager and captured; then as many epochs of the poster's network as time is left for."""
    path = bench.paths["poster"]
    options = RetrainOptions(batch_size=32) if bench.small else RetrainOptions(batch_size=512, learning_rate=0.4)
    recipe = Recipe.full(bench.data, options)
    found: dict[str, Any] = {"batch": recipe.batch_size}
    for kind, capture in (("eager", False), ("captured", True)):
        network = SingleHead(bench.space.build(path, bench.data.num_classes))
        own = replace(recipe, capture=capture)
        training = Training(network, bench.data, epochs=2, recipe=own, seed=0)
        training.run(until=1)
        count = -(-len(bench.data.train_labels) // recipe.batch_size)
        found[f"{kind}_ms"] = bench.seconds(lambda training=training: training.run(until=2)) / count * 1e3  # type: ignore[misc]
    epoch = found["captured_ms"] / 1e3 * count
    # A tenth more images, since the validation images are trained on, too; and a tenth to spare.
    epochs = 2 if bench.small else max(1, min(200, int(0.8 * bench.left / epoch)))
    data = bench.data.to("cpu")
    source = None if bench.small else {"dataset": bench.dataset}
    labels = tuple(bench.space.label(path[:depth], action) for depth, action in enumerate(path))
    subject = Subject(bench.space.network(path), labels, data, source, data_dir=bench.data_dir)
    seconds = time.perf_counter()
    _, measured = Retraining(subject, recipe, epochs=epochs).run(0, device=bench.device)
    description = measured.description
    found |= {"epochs": epochs, "seconds": time.perf_counter() - seconds}
    return found | {"test_accuracy": description.test_accuracy, "validation_accuracy": description.validation_accuracy}


# In this order, each with the seconds that it needs on a GPU by estimate: what has less is skipped.
STEPS: dict[str, tuple[Callable[[Bench], dict[str, Any]], float]] = {
    "versions": (versions, 0.0),
    "essentials": (essentials, 30.0),
    "steps": (steps, 60.0),
    "split": (split, 15.0),
    "tries": (tries, 20.0),
    "trainings": (trainings, 60.0),
    "faithfulness": (faithfulness, 120.0),
    "retraining": (retraining, 30.0),
}


def measure_gpu(
    *,
    device: str = "auto",
    minutes: float = 9.0,
    smoke: bool = False,
    data_dir: str | None = None,
    told: Callable[[str, dict[str, Any]], None] = lambda _name, _figures: None,
) -> dict[str, dict[str, Any]]:
    """The figures of all steps; `told` is given the name of each step that ends, and all figures so far.

    A step that fails says so in its place, and the next one begins. ConfigError where there is no GPU, unless `smoke`.
    """
    deadline = time.monotonic() + 60 * minutes
    place = resolve_device(device)
    if place.type != "cuda" and not smoke:
        why = why_no_gpu() or f"device is {device!r}"
        raise ConfigError(f"there is no GPU to measure ({why}); give --smoke to run every step small, on this device")
    bench = Bench.made(place, data_dir=data_dir, small=smoke, deadline=deadline)
    figures: dict[str, dict[str, Any]] = {}
    with on(place), whole_float32(place):
        for name, (step, needed) in STEPS.items():
            if bench.left < (0.0 if smoke else needed):
                figures[name] = {"skipped": f"{max(0.0, bench.left):.0f} s are left"}
            else:
                figures[name] = _measured(step, bench)
            told(name, figures)
    return figures


def _measured(step: Callable[[Bench], dict[str, Any]], bench: Bench) -> dict[str, Any]:
    started = time.monotonic()
    try:
        found = step(bench)
    except Exception as error:
        # The measurements behind it may be all that this GPU is lent for.
        found = {"failed": f"{type(error).__name__}: {error}"}
    return found | {"took_seconds": time.monotonic() - started}


def _profiled(bench: Bench, run: Callable[[], None]) -> dict[str, tuple[int, float]]:
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
