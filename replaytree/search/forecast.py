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
from replaytree.evaluate.inherited import fewer_epochs
from replaytree.policy.random_search import random_path
from replaytree.records import Path, Space
from replaytree.search.assembly import default_evaluator, evaluator_name
from replaytree.search.prior import is_nested, random_paths
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


def seconds_of(
    config: SearchConfig,
    space: Space,
    data: Data,
    *,
    growth: Growth,
    trainings: int,
    done: int = 0,
    with_prior: bool = False,
) -> float | None:
    """Seconds that the trainings will take, from timing a small part of one here; None if that says little.

    `done` trainings were before them. `with_prior`: a prior is made first.
    Accelerators are not timed: they spend long on preparation, and a single step is cheap.
    """
    if trainings > MOST_TRAININGS or (step := _step_seconds(config, space, data)) is None:
        return None
    costs = training_costs(config, space, data, growth=growth, trainings=trainings, done=done)
    return step * math.fsum([*costs, prior_cost(config, space, data) if with_prior else 0.0])


def prior_seconds(config: SearchConfig, space: Space, data: Data) -> float | None:
    """Seconds that the prior will take; None if timing a part of a training says little."""
    step = _step_seconds(config, space, data)
    return None if step is None else step * prior_cost(config, space, data)


def _step_seconds(config: SearchConfig, space: Space, data: Data) -> float | None:
    """Seconds of a training step of one image or word through all layers."""
    if resolve_device(config.machine.device).type != "cpu":
        return None
    recipe = Recipe.of(config, data)
    few = min(data.train_count, BATCHES * recipe.step_units)
    part = data.first(few, validation=1)
    paths = _typical_paths(config, space)
    try:
        return _measured_seconds(config, space, part, paths[:TIMED]) / few
    except ReplayTreeError:
        return None


def training_costs(
    config: SearchConfig, space: Space, data: Data, *, growth: Growth, trainings: int, done: int = 0
) -> list[float]:
    """What each of the next trainings costs, in training steps of one image or word through all layers."""
    shares = _shares(config, space, _typical_paths(config, space))
    validation = VALIDATION * data.val_count
    own = config.weights
    passes = own.passes / config.num_paths if own.weights == "shared" else None
    first = _first_to_inherit(config, space)
    costs = []
    for number, (depth, epochs) in enumerate(path_epochs(growth, config, trainings), start=done):
        spent = epochs if number < first else fewer_epochs(epochs, share=own.inherited_epochs)
        costs.append(shares[depth - 1] * ((spent if passes is None else passes) * data.train_count + validation))
    return costs


def prior_cost(config: SearchConfig, space: Space, data: Data) -> float:
    """What the prior that was asked for costs, in the same: its supernet's passes, and the scores of random paths."""
    assert config.prior_passes is not None, "no prior was asked for"
    flops = _flops(config, space, _typical_paths(config, space))
    unit = math.fsum(flops) if evaluator_name(config, space) == "separate" else flops[-1]
    # In spaces that are not nested each prefix is scored by itself.
    scored = flops[-1] if is_nested(_whole(space)) else math.fsum(flops)
    trained = config.prior_passes * data.train_count
    return (trained * flops[-1] + VALIDATION * data.val_count * random_paths(_whole(space)) * scored) / unit


def _first_to_inherit(config: SearchConfig, space: Space) -> float:
    """The number of the first training that starts from kept weights, as a rule; all behind it do.

    Those of `guided` do behind its warm-up (17 of 25, n = 1), for it goes on from the best prefixes. Other strategies
    seldom meet one that is kept (1 to 9 of 25). Where only whole paths are trained, no prefix is kept of them.
    """
    is_guided = config.strategy == "guided" and evaluator_name(config, space) != "whole"
    if config.weights.weights != "inherited" or not is_guided:
        return math.inf
    has_prior = config.warm_start is not None or config.prior is not None
    return 1 if has_prior else config.strategy_options.warmup


def _typical_paths(config: SearchConfig, space: Space) -> list[Path]:
    generator = torch.Generator().manual_seed(config.seed)
    return [random_path(space, config.space.max_layers, generator).path for _ in range(PATHS)]


def _shares(config: SearchConfig, space: Space, paths: Sequence[Path]) -> list[float]:
    """The cost of trainings of 1, 2, ... layers as a share of one of all layers."""
    flops = _flops(config, space, paths)
    if evaluator_name(config, space) == "separate":
        flops = list(accumulate(flops))
    return [each / flops[-1] for each in flops]


def _flops(config: SearchConfig, space: Space, paths: Sequence[Path]) -> list[float]:
    """The FLOPs of networks of 1, 2, ... layers, summed over the paths."""
    flops = [0.0] * config.space.max_layers
    for path in paths:
        # A path that ends early costs at later depth bounds what it costs as a whole.
        for depth in range(1, config.space.max_layers + 1):
            cost = space.cost(path[:depth])
            flops[depth - 1] += cost[1] if cost is not None else depth
    return flops


def _measured_seconds(config: SearchConfig, space: Space, part: Data, paths: Sequence[Path]) -> float:
    """Seconds of one epoch on a few examples, the mean of some paths."""
    # A step of a supernet costs what a step of the path costs.
    config = config.with_options(**DEFAULTS)
    evaluator = default_evaluator(config, _whole(space), part)
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


def _whole(space: Space) -> Space:
    """The space without its limits on costs."""
    return space.space if isinstance(space, ConstrainedSpace) else space


def about(seconds: float) -> str:
    """'about a minute', 'about 20 minutes', 'about 3 hours': no more exact than an estimate can be."""
    for unit, size, least in (("day", 86400.0, 1.95), ("hour", 3600.0, 1.95), ("minute", 60.0, 0.95)):
        if (count := seconds / size) >= least:
            shown = round(round(count), 0 if count < 10 else -1 if count < 100 else -2)
            return f"about {shown} {unit}{'s' * (shown > 1)}"
    return "less than a minute"
