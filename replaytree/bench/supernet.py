"""What a supernet costs: a training step beside a step of the path alone, and the memory of many turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from replaytree.bench.trainings import Resident, resident
from replaytree.config import Budget
from replaytree.config.weights import WeightOptions
from replaytree.data import load_data
from replaytree.evaluate import SharedEvaluator
from replaytree.networks.supernet import Supernet
from replaytree.networks.trie import PrefixNetwork
from replaytree.policy.random_search import random_path
from replaytree.records import Path
from replaytree.space import LayerSpace, xu24
from replaytree.space.catalogue import named_space
from replaytree.space.graph_space import GraphSpace, require_networks
from replaytree.training import Recipe
from replaytree.training.shared import SupernetTraining
from replaytree.training.step import Step

CPU = torch.device("cpu")
# Paths that the supernet has seen before: its weights are made with the first path that needs them.
SEEN = 400
STEPS = 8
SPACES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("xu24", 6, {"width": 0.25}),
    ("xu24", 15, {"width": 0.25}),
    ("tiny", 6, {}),
    ("zoph", 6, {"width": 0.25}),
    ("enas-macro", 6, {"channels": 8}),
)


@dataclass(frozen=True, slots=True)
class StepCost:
    """Processor milliseconds of a training step of a path: alone, in a joint training, and of a supernet.

    `path_ms` is a step that scores all prefixes, with linear heads as a supernet has. `again` and `new` are the ratios
    of a supernet's step on the same path once more, and on one that was never asked for, the medians over the paths.
    """

    space: str
    layers: int
    paths: int
    path_ms: float
    again: float
    new: float


def measure_steps(space: str, *, layers: int, paths: int, options: dict[str, Any]) -> StepCost:
    """Steps on batches of 64 digits, side by side, with one thread."""
    torch.set_num_threads(1)
    data = load_data("digits")
    known = require_networks(
        named_space(space, input_shape=data.image_shape, num_classes=data.num_classes, max_layers=layers, **options),
        nested=True,
    )
    recipe = Recipe(crop_padding=1)
    own = SupernetTraining(Supernet(known, data.num_classes, seed=0, device=CPU, hidden=0), data, recipe=recipe)
    drawn = _paths(known, layers)
    for _ in range(SEEN):
        own.supernet.network([next(drawn)])
    batches = own.batches(seed=0)
    alone_ms, again, new = [], [], []
    for _ in range(paths):
        path = next(drawn)
        network = PrefixNetwork(known, [path], data.num_classes, hidden=0).to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True
        )
        step = Step(network, optimizer, label_smoothing=0.1, capture=False, device=CPU)
        seconds: dict[str, list[float]] = {"alone": [], "again": []}
        first = _timed(partial(own.step, path, *next(batches), rate=0.1))
        step(*next(batches))
        for _ in range(STEPS):
            batch = next(batches)
            seconds["alone"].append(_timed(partial(step, *batch)))
            seconds["again"].append(_timed(partial(own.step, path, *batch, rate=0.1)))
        alone = statistics.median(seconds["alone"])
        alone_ms.append(1e3 * alone)
        again.append(statistics.median(seconds["again"]) / alone)
        new.append(first / alone)
    return StepCost(space, layers, paths, statistics.fmean(alone_ms), statistics.median(again), statistics.median(new))


def measure_turns(*, turns: int, every: int) -> Iterator[Resident]:
    """Turns of a supernet of xu24 with two random paths of four layers on a few digits; the memory every so often."""
    torch.set_num_threads(1)
    data = load_data("digits", train_limit=64)
    space = LayerSpace(xu24(0.25), input_shape=data.image_shape, num_classes=data.num_classes, max_layers=4)
    weights = WeightOptions(weights="shared", score_images=32)
    evaluator = SharedEvaluator(space, data, recipe=Recipe(), device=CPU, weights=weights, seed=0)
    drawn = _paths(space, 4)
    for done in range(turns + 1):
        if done % every == 0:
            yield Resident(done, resident())
        evaluator.evaluate([next(drawn), next(drawn)], budget=Budget(1), seed=done)


def _paths(space: GraphSpace, layers: int) -> Iterator[Path]:
    generator = torch.Generator().manual_seed(0)
    while True:
        path = random_path(space, layers, generator).path
        if len(path) == layers:
            yield path


def _timed(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started
