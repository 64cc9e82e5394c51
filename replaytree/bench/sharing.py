"""ENAS from beginning to end, small: what its controller derives, and what random search finds, trained anew.

A search with the controller, its options and shared weights of a preset is run. Then the supernet scores as many paths
of the trained controller, and as many random ones, on all validation images. The best of each is trained anew in its
final form; so is the best of a random search without sharing that had the same processor seconds for its trainings, and
one random path, which nothing has chosen. What counts is the mean accuracy of the trainings anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

import torch

from replaytree.bench.spaces import Found, one_thread, trained_anew
from replaytree.bench.spaces import Job as SearchJob
from replaytree.bench.truth import SETTINGS
from replaytree.config import SearchConfig
from replaytree.config.presets import with_preset
from replaytree.data import ImageData
from replaytree.errors import ConfigError
from replaytree.evaluate import InProcess, SharedEvaluator
from replaytree.policy.random_search import random_path
from replaytree.records import Path
from replaytree.search.assembly import images_of
from replaytree.search.search import Search
from replaytree.space.coding import labels
from replaytree.space.graph_space import final_space
from replaytree.training import Recipe
from replaytree.training.images import epoch_steps

# By the space: few layers and channels, so that a search takes minutes on a CPU.
SMALL: dict[str, dict[str, Any]] = {
    "enas-macro": {"channels": 8, "max_layers": 4},
    "enas-micro": {"channels": 8, "max_layers": 6, "cells": 4},
}
CONTROLLER, SUPERNET, FRESH, NONE = "controller", "random, same supernet", "random, no sharing", "one random path"
METHODS = (CONTROLLER, SUPERNET, FRESH, NONE)
COMPARED = ((CONTROLLER, SUPERNET), (CONTROLLER, FRESH), (CONTROLLER, NONE), (SUPERNET, NONE))


@dataclass(frozen=True, slots=True)
class Job:
    """One seed of one space on one data set. `options` are fields of SearchConfig, for the search that shares weights.

    A turn has `paths` paths, each trained with one minibatch. `derived` paths are scored at the end. A training of the
    random search has `search_epochs`, one anew `epochs`.
    """

    space: str
    dataset: str
    seed: int
    turns: int
    paths: int = 10
    derived: int = 50
    search_epochs: int = 4
    epochs: int = 15
    repeats: int = 2
    data_dir: str | None = None
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each of METHODS found for a job; processor seconds are of all that came before the training anew."""

    job: Job
    found: tuple[Found, ...]


def run_jobs(jobs: Sequence[Job], *, processes: int) -> Iterable[Outcome]:
    """All jobs, `processes` at a time with one thread each, in order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(run_job, jobs)


def run_job(job: Job) -> Outcome:
    """The four methods on one seed."""
    fresh = fresh_config(job)
    data = _data(job.dataset, job.data_dir)
    started = time.process_time()
    search = Search(name="sharing", storage="sqlite://", data=data, config=shared_config(job, data))
    search.run(episodes=job.turns * job.paths)
    trained = time.process_time() - started
    assert isinstance(search.workers, InProcess)
    supernet = search.workers.evaluator
    assert isinstance(supernet, SharedEvaluator)
    depth, generator = search.config.space.max_layers, torch.Generator().manual_seed(job.seed)
    proposals = search.learner.strategy.propose(search.memory, num_paths=job.derived, depth_bound=depth, epochs=1)
    chosen: list[tuple[str, Path, float, float]] = []
    for method, paths in (
        (CONTROLLER, [proposal.path for proposal in proposals]),
        (SUPERNET, [random_path(search.space, depth, generator).path for _ in range(job.derived)]),
    ):
        begun = time.process_time()
        path, seen = best_of(supernet, paths)
        chosen.append((method, path, seen, trained + time.process_time() - begun))
    path, seen, spent = _random_search(fresh, data, seconds=chosen[0][3])
    chosen.append((FRESH, path, seen, spent))
    chosen.append((NONE, random_path(search.space, depth, generator).path, 0.0, 0.0))
    final = final_space(search.space)
    found = [
        Found(
            SearchJob(job.space, method, job.seed, job.turns * job.paths, job.repeats, job.options),
            " ".join(labels(search.space, path)),
            (final.cost(path) or (0, 0))[0],
            seen,
            trained_anew(final, data, fresh, path, seed=job.seed, repeats=job.repeats),
            seconds,
        )
        for method, path, seen, seconds in chosen
    ]
    search.tree.engine.dispose()
    return Outcome(job, tuple(found))


def best_of(supernet: SharedEvaluator, paths: Sequence[Path]) -> tuple[Path, float]:
    """The path that the supernet scores best, and its score; the first of equals. ConfigError where none is scored."""
    paths = list(dict.fromkeys(paths))
    scores = [
        (evaluation.accuracies[-1] if evaluation.accuracies else None, path)
        for path, evaluation in zip(paths, supernet.rescore(paths), strict=True)
    ]
    known = [(score, path) for score, path in scores if score is not None]
    if not known:
        raise ConfigError("the supernet could score no path; nothing can be derived")
    score, path = max(known, key=lambda each: each[0])
    return path, score


def shared_config(job: Job, data: ImageData) -> SearchConfig:
    """The configuration of the search that shares weights: the preset's, small, with one minibatch a path.

    The learning rate falls once over the whole search; the published number of epochs, too, ends with a fall.
    """
    values = {**_small(job), **SETTINGS[job.dataset], "dataset": None, "num_paths": job.paths, **dict(job.options)}
    config = SearchConfig(**with_preset(job.space, {"score_images": 128, **values}))
    steps = epoch_steps(data, Recipe.of(config, data))
    return config.with_options(
        passes=config.num_paths / steps, restart_passes=job.turns * config.num_paths / steps
    )  # fmt: skip


def fresh_config(job: Job) -> SearchConfig:
    """The configuration of trainings without sharing: of the random search, and anew."""
    values = {
        **_small(job), **SETTINGS[job.dataset], "dataset": None, "space": job.space, "strategy": "random",
        "evaluator": "whole", "epochs_first": job.search_epochs, "epochs_last": job.epochs, "prune": False,
    }  # fmt: skip
    return SearchConfig.from_options(values)


def require(job: Job) -> None:
    """ConfigError for a space or a data set that is not measured, or images or options that cannot be used."""
    for name, value, known in (("space", job.space, SMALL), ("dataset", job.dataset, SETTINGS)):
        if value not in known:
            raise ConfigError(f"{name} is {value!r:.80}; it must be one of {', '.join(known)} (--{name})")
    shared_config(job, _data(job.dataset, job.data_dir))


def _small(job: Job) -> dict[str, Any]:
    own = SMALL[job.space]
    return {**own, "min_layers": own["max_layers"], "seed": job.seed}


@cache
def _data(dataset: str, data_dir: str | None) -> ImageData:
    return images_of(SearchConfig.from_options({"dataset": dataset, "data_dir": data_dir, **SETTINGS[dataset]}))


def _random_search(config: SearchConfig, data: ImageData, *, seconds: float) -> tuple[Path, float, float]:
    """The best whole path of a random search of so many processor seconds, its accuracy, and the seconds.

    Every training has the first budget.
    """
    config = config.with_options(epochs_last=config.budget.epochs_first)
    search = Search(name="fresh", storage="sqlite://", data=data, config=config)
    started = time.process_time()
    while not search.training_count or time.process_time() - started < seconds:
        search.run(trainings=1)
    [best] = search.tree.best(1)
    search.tree.engine.dispose()
    return best.path, best.average_accuracy or 0.0, time.process_time() - started
