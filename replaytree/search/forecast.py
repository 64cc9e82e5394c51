"""Estimate how long a run will take: time a few steps of typical paths, and extrapolate to all trainings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean

import torch

from replaytree.config import Budget, Growth, SearchConfig
from replaytree.config.weights import DEFAULTS
from replaytree.data import Data
from replaytree.errors import ReplayTreeError
from replaytree.policy.random_search import random_path
from replaytree.records import Path, Space
from replaytree.search.assembly import default_evaluator, evaluator_name
from replaytree.space import ConstrainedSpace
from replaytree.training import Recipe, resolve_device

BATCHES = 3
PATHS = 32
TIMED = 4
# An example of validation costs as much as this many of training: there is no backward pass.
VALIDATION = 1 / 3
MOST_SECONDS = 0.5
# More would be more than there is time for; counting them up one by one would fill the memory.
MOST_TRAININGS = 1_000_000


def path_epochs(growth: Growth, config: SearchConfig, trainings: int) -> list[tuple[int, int]]:
    """(depth bound, epochs) of each of the next trainings, assuming that none improves on the one before."""
    found: list[tuple[int, int]] = []
    for done in range(trainings):
        if growth.depth_bound >= config.space.max_layers:
            # It grows no further, and there may be millions of these.
            return found + [(growth.depth_bound, growth.budget(config).epochs)] * (trainings - done)
        found.append((growth.depth_bound, growth.budget(config).epochs))
        growth = growth.after([0.0], config)
    return found


def seconds_of(config: SearchConfig, space: Space, data: Data, *, growth: Growth, trainings: int) -> float | None:
    """Seconds that the trainings will take, from timing a small part of one here; None if that says little.

    Accelerators are not timed: they spend long on preparation, and a single step is cheap.
    """
    if resolve_device(config.machine.device).type != "cpu" or trainings > MOST_TRAININGS:
        return None
    recipe = Recipe.of(config, data)
    few = min(data.train_count, BATCHES * recipe.step_units)
    part = data.first(few, validation=1)
    paths = _typical_paths(config, space)
    try:
        seconds = _measured_seconds(config, space, part, paths[:TIMED]) / few
    except ReplayTreeError:
        return None
    return seconds * math.fsum(training_costs(config, space, data, growth=growth, trainings=trainings))


def training_costs(config: SearchConfig, space: Space, data: Data, *, growth: Growth, trainings: int) -> list[float]:
    """What each of the next trainings costs, in training steps of one image or word through all layers."""
    shares = _shares(config, space, _typical_paths(config, space))
    validation = VALIDATION * data.val_count
    own = config.weights
    passes = own.passes / config.num_paths if own.weights == "shared" else None
    return [
        shares[depth - 1] * ((epochs if passes is None else passes) * data.train_count + validation)
        for depth, epochs in path_epochs(growth, config, trainings)
    ]


def _typical_paths(config: SearchConfig, space: Space) -> list[Path]:
    generator = torch.Generator().manual_seed(config.seed)
    return [random_path(space, config.space.max_layers, generator).path for _ in range(PATHS)]


def _shares(config: SearchConfig, space: Space, paths: Sequence[Path]) -> list[float]:
    """The cost of trainings of 1, 2, ... layers as a share of one of all layers: by FLOPs, summed over the paths."""
    flops = [0.0] * config.space.max_layers
    for path in paths:
        # A path that ends early costs at later depth bounds what it costs as a whole.
        for depth in range(1, config.space.max_layers + 1):
            cost = space.cost(path[:depth])
            flops[depth - 1] += cost[1] if cost is not None else depth
    if evaluator_name(config, space) == "separate":
        flops = list(accumulate(flops))
    return [each / flops[-1] for each in flops]


def _measured_seconds(config: SearchConfig, space: Space, part: Data, paths: Sequence[Path]) -> float:
    """Seconds of one epoch on a few examples, the mean of some paths."""
    whole = space.space if isinstance(space, ConstrainedSpace) else space
    # A step of a supernet costs what a step of the path costs.
    config = config.with_options(**DEFAULTS)
    evaluator = default_evaluator(config, whole, part)
    # The first training of a process also does preparations that later ones reuse.
    evaluator.evaluate(paths[:1], budget=Budget(1), seed=0)
    begun, taken = time.monotonic(), []
    for path in paths:
        started = time.perf_counter()
        evaluator.evaluate([path], budget=Budget(1), seed=0)
        taken.append(time.perf_counter() - started)
        if time.monotonic() - begun > MOST_SECONDS:
            break
    return fmean(taken)


def about(seconds: float) -> str:
    """'about a minute', 'about 20 minutes', 'about 3 hours': no more exact than an estimate can be."""
    for unit, size, least in (("day", 86400.0, 1.95), ("hour", 3600.0, 1.95), ("minute", 60.0, 0.95)):
        if (count := seconds / size) >= least:
            shown = round(round(count), 0 if count < 10 else -1 if count < 100 else -2)
            return f"about {shown} {unit}{'s' * (shown > 1)}"
    return "less than a minute"
