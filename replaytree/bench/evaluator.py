"""The cost of scoring every prefix of some paths in four ways, on the same paths in one process.

plain: each prefix trained by itself in float32, images through a DataLoader with a transform an image, as most
published code does it; separate: the separate evaluator; joint: a head after every layer, one training a path; trie:
all paths in one training.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from replaytree.config import Budget, SearchConfig
from replaytree.data import ImageData, load_data
from replaytree.errors import ConfigError
from replaytree.evaluate import JointEvaluator, SeparateEvaluator
from replaytree.networks.trie import PrefixNetwork
from replaytree.records import Path
from replaytree.space import LayerSpace, trie_cost, xu24
from replaytree.training import Recipe, resolve_device
from replaytree.training.loop import train

# Linux only: 5 makes the peak of the resident memory begin anew.
RESET_PEAK = FilePath("/proc/self/clear_refs")
METHODS = ("plain", "separate", "joint", "trie")


@dataclass(frozen=True, slots=True)
class MethodCost:
    """One method: wall and processor seconds a path, and the process's peak memory meanwhile.

    The seconds are medians over rounds. Of a round's repeats the fastest counts, because other work on the machine can
    only add time.

    `images_per_second` counts an image once for each path and epoch, however many networks it passed through.
    `ratio` is of processor seconds (on a GPU, of wall seconds) to those of the first method. `flops_ratio` is the
    ratio of the multiply-adds. `peak_share` is of the device's matrix-product peak; None on a CPU.
    """

    method: str
    seconds: float
    processor_seconds: float
    images_per_second: float
    ratio: float
    flops_ratio: float
    peak_bytes: int
    peak_share: float | None = None


@dataclass(frozen=True, slots=True)
class EvaluatorCosts:
    """The methods side by side. `trie_predicted` and `trie_measured` are the trie's cost as a share of the joint's."""

    dataset: str
    image_size: int
    train_images: int
    width: float
    depth: int
    paths: int
    epochs: int
    joint_epochs: int
    rounds: int
    repeats: int
    device: str
    methods: tuple[MethodCost, ...]
    trie_predicted: float
    trie_measured: float | None
    step_ms: dict[str, float]


def measure_evaluator(
    dataset: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    train_limit: int = 512,
    width: float = 0.25,
    depth: int = 10,
    paths: int = 8,
    epochs: int = 1,
    joint_epochs: int | None = None,
    rounds: int = 1,
    repeats: int = 1,
    seed: int = 0,
    device: str = "auto",
    methods: Sequence[str] = METHODS,
) -> EvaluatorCosts:
    """Train the same paths with every method in turn, `repeats` times, in each of `rounds` with other paths.

    `joint_epochs` are the epochs of joint and trie; None means `epochs`. There is one validation image for nine
    training images, as in a search.
    """
    if unknown := sorted(set(methods) - set(METHODS)):
        raise ConfigError(f"method is {unknown[0]!r}; it must be one of {', '.join(METHODS)} (--method)")
    place = resolve_device(device)
    data = _with_few_validation_images(
        load_data(dataset, data_dir=data_dir, image_size=image_size, train_limit=train_limit)
    ).to(place)
    space = LayerSpace(xu24(width), input_shape=data.image_shape, num_classes=data.num_classes, max_layers=depth)
    recipe = Recipe.of(SearchConfig(dataset=None), data)
    own_epochs = dict.fromkeys(METHODS, epochs) | dict.fromkeys(("joint", "trie"), joint_epochs or epochs)
    budget = {method: Budget(count) for method, count in own_epochs.items()}
    separate = SeparateEvaluator(space, data, recipe=recipe, device=place)
    joint = JointEvaluator(space, data, recipe=recipe, device=place)
    chosen = [tree_paths(space, depth=depth, count=paths, seed=seed + number) for number in range(rounds)]
    run: dict[str, Callable[[Sequence[Path]], object]] = {
        "plain": lambda some: [plain_loop(space, path, data, recipe=recipe, epochs=epochs, seed=seed) for path in some],
        "separate": lambda some: separate.evaluate(some, budget=budget["separate"], seed=seed),
        "joint": lambda some: [joint.evaluate([path], budget=budget["joint"], seed=seed) for path in some],
        "trie": lambda some: joint.evaluate(some, budget=budget["trie"], seed=seed),
    }
    flops = {
        "plain": [sum(space.cost(path[: t + 1])[1] for path in some for t in range(len(path))) for some in chosen],
        "joint": [sum(trie_cost(space, [path]).flops for path in some) for some in chosen],
        "trie": [trie_cost(space, some).flops for some in chosen],
    }
    flops["separate"] = flops["plain"]
    joint.evaluate([chosen[0][0][:1]], budget=Budget(1), seed=seed)  # libraries are loaded by their first use
    # Methods take turns, so that changes in the machine's load affect all of them alike.
    every = [
        [{method: _spend(run[method], some, place) for method in methods} for _ in range(repeats)] for some in chosen
    ]
    spent = {method: [_least([one[method] for one in own]) for own in every] for method in methods}
    peak = matrix_peak(place) if place.type == "cuda" else None
    clock = 0 if place.type == "cuda" else 1

    def spent_flops(method: str) -> int:
        return sum(flops[method]) * own_epochs[method]

    def cost(method: str) -> MethodCost:
        wall, processor = (statistics.median(own[kind] for own in spent[method]) / paths for kind in (0, 1))
        images = len(data.train_labels) * own_epochs[method]
        share = statistics.mean(flops[method]) * 6 * images / (wall * paths) / peak if peak else None
        return MethodCost(
            method=method,
            seconds=wall,
            processor_seconds=processor,
            images_per_second=images / wall,
            ratio=_ratio(spent[method], spent[methods[0]], clock),
            flops_ratio=spent_flops(method) / spent_flops(methods[0]),
            peak_bytes=max(own[2] for own in spent[method]),
            peak_share=share,
        )

    both = {"joint", "trie"} <= set(methods)
    return EvaluatorCosts(
        dataset=dataset,
        image_size=data.image_shape[1],
        train_images=len(data.train_labels),
        width=width,
        depth=depth,
        paths=paths,
        epochs=epochs,
        joint_epochs=own_epochs["joint"],
        rounds=rounds,
        repeats=repeats,
        device=str(place),
        methods=tuple(cost(method) for method in methods),
        trie_predicted=sum(flops["trie"]) / sum(flops["joint"]),
        trie_measured=_ratio(spent["trie"], spent["joint"], clock) if both else None,
        step_ms=step_kinds(space, chosen[0][0], data, recipe=recipe) if place.type == "cuda" else {},
    )


def tree_paths(space: LayerSpace, *, depth: int, count: int, seed: int) -> list[Path]:
    """Distinct paths as a search continues its tree: each after the first keeps a part of an earlier one.

    The part is cut at a depth uniform in 0..depth - 1; the rest is drawn uniformly from the legal layers.
    """
    random = np.random.default_rng(seed)
    paths: list[Path] = []
    while len(paths) < count:
        path: Path = paths[random.integers(len(paths))][: random.integers(depth)] if paths else ()
        while len(path) < depth:
            legal = [action for action, may in enumerate(space.legal(path)) if may]
            path = (*path, int(random.choice(legal)))
        if path not in paths:
            paths.append(path)
    return paths


class _Images(Dataset[tuple[Tensor, Tensor]]):
    """Images one at a time, each transformed when it is asked for."""

    def __init__(self, images_NCHW: Tensor, labels_N: Tensor, transform: nn.Module) -> None:
        self._images_NCHW, self._labels_N, self._transform = images_NCHW.cpu(), labels_N.cpu(), transform

    def __len__(self) -> int:
        return len(self._labels_N)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._transform(self._images_NCHW[index]), self._labels_N[index]


def plain_loop(
    space: LayerSpace, path: Path, data: ImageData, *, recipe: Recipe, epochs: int, seed: int
) -> list[float]:
    """Validation accuracies of a path's prefixes, each trained by itself with nothing made fast."""
    torch.manual_seed(seed)
    device = data.train_images.device
    plain = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(data.mean, data.std)]
    augmented = [v2.RandomCrop(data.image_shape[1:], padding=recipe.crop_padding)] if recipe.crop_padding else []
    augmented += [v2.RandomHorizontalFlip()] if recipe.flip else []
    size = recipe.batch_size
    train_set = _Images(data.train_images, data.train_labels, v2.Compose([*augmented, *plain]))
    loader = DataLoader(train_set, batch_size=size, shuffle=True, drop_last=len(train_set) > size)
    val_loader = DataLoader(_Images(data.val_images, data.val_labels, v2.Compose(plain)), batch_size=size)
    accuracies = []
    for depth in range(1, len(path) + 1):
        network = space.build(path[:depth], data.num_classes).to(device)
        optimizer = torch.optim.SGD(
            network.parameters(), lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=recipe.learning_rate, total_steps=max(5, len(loader) * epochs)
        )
        criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        for _ in range(epochs):
            network.train()
            for images_BCHW, labels_B in loader:
                optimizer.zero_grad()
                criterion(network(images_BCHW.to(device)), labels_B.to(device)).backward()
                optimizer.step()
                schedule.step()
        network.eval()
        right = 0
        with torch.no_grad():
            for images_BCHW, labels_B in val_loader:
                right += (network(images_BCHW.to(device)).argmax(dim=1).cpu() == labels_B).sum().item()
        accuracies.append(right / len(data.val_labels))
    return accuracies


def step_kinds(space: LayerSpace, path: Path, data: ImageData, *, recipe: Recipe) -> dict[str, float]:
    """Milliseconds a step of one path on a GPU: eager, captured in a CUDA graph, compiled.

    The `first epoch` entries, also in milliseconds, include the cost of capturing or compiling a new network.
    """
    steps = -(-len(data.train_labels) // recipe.batch_size)
    measured = {}
    for kind in ("eager", "capture", "compile"):
        network = PrefixNetwork(space, [path], data.num_classes).to(data.train_images.device)
        network = network.to(memory_format=torch.channels_last)
        own = replace(recipe, capture=kind == "capture", compile=kind == "compile")
        epochs = {}
        for count in (1, 3):
            torch.cuda.synchronize()
            started = time.perf_counter()
            train(network, data, epochs=count, recipe=own, seed=0)
            torch.cuda.synchronize()
            epochs[count] = time.perf_counter() - started
        measured[f"{kind} first epoch"] = epochs[1] * 1e3
        measured[kind] = epochs[3] / 3 / steps * 1e3
    return measured


def matrix_peak(device: torch.device, *, side: int = 8192, repeats: int = 20) -> float:
    """FLOPs a second (a multiply-add is two) of bfloat16 matrix products on the device."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(repeats):
        left @ right
    torch.cuda.synchronize(device)
    return 2.0 * side**3 * repeats / (time.perf_counter() - started)


def _spend(
    run: Callable[[Sequence[Path]], object], paths: Sequence[Path], device: torch.device
) -> tuple[float, float, int]:
    """Wall seconds, processor seconds and peak bytes of a run."""
    _reset_peak(device)
    wall, processor = time.perf_counter(), time.process_time()
    run(paths)
    return time.perf_counter() - wall, time.process_time() - processor, _peak_bytes(device)


def _least(spent: Sequence[tuple[float, float, int]]) -> tuple[float, float, int]:
    """The least wall seconds, the least processor seconds, and the highest peak."""
    walls, processors, peaks = zip(*spent, strict=True)
    return min(walls), min(processors), max(peaks)


def _ratio(own: Sequence[tuple[float, float, int]], other: Sequence[tuple[float, float, int]], clock: int) -> float:
    return sum(spent[clock] for spent in own) / sum(spent[clock] for spent in other)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif RESET_PEAK.exists():
        RESET_PEAK.write_text("5")


def _peak_bytes(device: torch.device) -> int:
    """Peak bytes of the GPU's memory since the reset. On a CPU those of the process; without Linux, since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if RESET_PEAK.exists():
        return next(_status("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(name: str) -> Iterator[int]:
    for line in FilePath("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            yield int(line.split()[1]) * 1024


def _with_few_validation_images(data: ImageData) -> ImageData:
    count = max(1, len(data.train_labels) // 9)
    return replace(data, val_images=data.val_images[:count], val_labels=data.val_labels[:count])
