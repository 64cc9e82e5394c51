"""What differentiable searches derive in DARTS' cells, against random cells, all trained anew with one recipe.

For each seed a search of each strategy runs. The path that its last epoch derived is trained anew by itself, in its
final form, as is one random path of the same space. What counts is the validation accuracy of that training; validation
images play no part in a derivation.
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
from replaytree.data import ImageData
from replaytree.errors import ConfigError
from replaytree.policy.random_search import random_path
from replaytree.search.assembly import images_of
from replaytree.search.search import Search
from replaytree.space.catalogue import named_space
from replaytree.space.coding import labels
from replaytree.space.graph_space import final_space

SPACE = "darts"
# By name: a strategy and its options.
METHODS: dict[str, dict[str, Any]] = {
    "darts": {"strategy": "darts"},
    "darts, second order": {"strategy": "darts", "alpha_order": 2},
    "pc-darts": {"strategy": "pc-darts"},
    "gdas": {"strategy": "gdas"},
}
RANDOM = "random cell"


@dataclass(frozen=True, slots=True)
class Job:
    """One seed of one method (of METHODS, or RANDOM) on one data set.

    A search has `search_epochs`, a training anew `epochs`. `options` are fields of SearchConfig, for searches.
    """

    method: str
    dataset: str
    seed: int
    search_epochs: int = 20
    epochs: int = 15
    channels: int = 8
    cells: int = 4
    data_dir: str | None = None
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, and of a search also the skips of its derived cells, from epoch to epoch, and the entropy."""

    job: Job
    found: Found
    skip_shares: tuple[float, ...] = ()
    entropies: tuple[float, ...] = ()


def run_jobs(jobs: Sequence[Job], *, processes: int) -> Iterable[Outcome]:
    """All jobs, `processes` at a time with one thread each, in order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(run_job, jobs)


def run_job(job: Job) -> Outcome:
    """One search, or one random path, trained anew. Seconds are those of the search."""
    require(job)
    data = _data(job.dataset, job.data_dir)
    started = time.perf_counter()
    space = named_space(SPACE, input_shape=data.image_shape, num_classes=data.num_classes, **_small(job))
    seen = 0.0
    shares: tuple[float, ...] = ()
    entropies: tuple[float, ...] = ()
    if job.method == RANDOM:
        path = random_path(space, space.max_layers, torch.Generator().manual_seed(job.seed)).path
    else:
        config = search_config(job)
        search = Search(name="differentiable", storage="sqlite://", data=data, config=config)
        search.run(trainings=job.search_epochs)
        episodes = search.tree.episodes()
        path, seen = episodes[-1].path, episodes[-1].highest or 0.0
        mixed = [episode.mixed for episode in episodes if episode.mixed is not None]
        shares = tuple(each.skip_share or 0.0 for each in mixed)
        entropies = tuple(episode.entropy or 0.0 for episode in episodes)
        search.tree.engine.dispose()
    seconds = time.perf_counter() - started
    final = final_space(space)
    found = Found(
        SearchJob(SPACE, job.method, job.seed, job.search_epochs, 1, job.options),
        " ".join(labels(space, path)),
        final.cost(path)[0],
        seen,
        trained_anew(final, data, anew_config(job), path, seed=job.seed, repeats=1),
        seconds,
    )
    return Outcome(job, found, shares, entropies)


def search_config(job: Job) -> SearchConfig:
    """The configuration of a search: the published one, small."""
    values = {**METHODS[job.method], **SETTINGS[job.dataset], **_small(job), "space": SPACE, "dataset": None}
    return SearchConfig.from_options({**values, "seed": job.seed, **dict(job.options)})


def anew_config(job: Job) -> SearchConfig:
    """The configuration of a training anew: that of searches, for all paths alike."""
    return SearchConfig.from_options(
        {
            **SETTINGS[job.dataset],
            "dataset": None,
            "space": SPACE,
            "strategy": "random",
            "evaluator": "whole",
            "epochs_first": job.epochs,
            "epochs_last": job.epochs,
            "prune": False,
        }
    )


def require(job: Job) -> None:
    """ConfigError for a method or a data set that is not measured."""
    for name, value, known in (
        ("strategy", job.method, [*METHODS, RANDOM]), ("dataset", job.dataset, list(SETTINGS)),
    ):  # fmt: skip
        if value not in known:
            raise ConfigError(f"{name} is {value!r:.80}; it must be one of {', '.join(known)} (--{name})")


def _small(job: Job) -> dict[str, int]:
    return {"channels": job.channels, "cells": job.cells, "max_layers": 8}


@cache
def _data(dataset: str, data_dir: str | None) -> ImageData:
    return images_of(SearchConfig.from_options({"dataset": dataset, "data_dir": data_dir, **SETTINGS[dataset]}))
