"""How well strategies do in the named spaces, on images: whole searches, and what they found, trained anew.

For each space, strategy and seed a real search runs, in memory. What it found is the prefix that `best` ranks first. It
is then trained by itself, several times with seeds that the search never used, and the mean of these validation
accuracies counts: the accuracy that the search saw is that of a winner, and so too high.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch

from replaytree.bench.peers import PEERS, new_peer
from replaytree.bench.peers.proposing import PeerStrategy
from replaytree.config import Budget, SearchConfig
from replaytree.config.strategies import without_foreign
from replaytree.data import ImageData
from replaytree.errors import ConfigError
from replaytree.evaluate import WholeEvaluator
from replaytree.records import Path, Space
from replaytree.search.search import Search
from replaytree.space.graph_space import require_networks
from replaytree.training import Recipe, resolve_device

BOOTSTRAPS = 10_000
# Far from every seed of a training of the search.
FRESH_SEED = 2**40


@dataclass(frozen=True, slots=True)
class Job:
    """One search by a strategy or a peer; `options` are fields of SearchConfig, the data set among them."""

    space: str
    strategy: str
    seed: int
    trainings: int
    repeats: int
    options: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: its labels, the accuracy that it saw, and the mean of the trainings anew."""

    job: Job
    labels: str
    params: int
    seen: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean accuracy of two strategies in one space, and their paired difference with a 95 % bootstrap interval.

    Accuracies are fractions, differences percentage points; n is the number of seeds.
    """

    space: str
    first: str
    second: str
    first_mean: float
    second_mean: float
    points: float
    low: float
    high: float
    n: int


def run_jobs(jobs: Sequence[Job], *, processes: int) -> Iterable[Found]:
    """All jobs, `processes` at a time with one thread each, in order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(run_job, jobs)


def run_job(job: Job) -> Found:
    """One search, and its answer trained anew."""
    started = time.perf_counter()
    # A peer takes the place of random search, and all else is the same: turns, tree, ranking, seeds of trainings.
    strategy = "random" if job.strategy in PEERS else job.strategy
    own = without_foreign(strategy, dict(job.options))
    options = {"space": job.space, "strategy": strategy, "seed": job.seed, **own}
    search = Search(name="bench", storage="sqlite://", config=SearchConfig.from_options(options))
    if job.strategy in PEERS:
        search.learner.strategy = PeerStrategy(new_peer(job.strategy, search.space, seed=job.seed), search.space)
    search.run(trainings=job.trainings)
    best = search.tree.best(1)
    if not best:
        raise ConfigError(f"no training of {job.space} with seed {job.seed} succeeded; nothing can be compared")
    node, config, data = best[0], search.config, search.data
    assert isinstance(data, ImageData), "the search trains on images"
    mean = trained_anew(search.space, data, config, node.path, seed=job.seed, repeats=job.repeats)
    seen, params = node.average_accuracy, node.params
    search.tree.engine.dispose()
    return Found(job, " ".join(node.labels), params or 0, seen or 0.0, mean, time.perf_counter() - started)


def trained_anew(space: Space, data: ImageData, config: SearchConfig, path: Path, *, seed: int, repeats: int) -> float:
    """The mean accuracy of a path trained by itself `repeats` times, at the last budget, with seeds of no search."""
    alone = WholeEvaluator(
        require_networks(space), data, recipe=Recipe.of(config, data), device=resolve_device(config.machine.device)
    )
    budget = Budget(config.budget.epochs_last)
    accuracies = [
        alone.evaluate([path], budget=budget, seed=FRESH_SEED + seed * repeats + repeat)[0].highest
        for repeat in range(repeats)
    ]
    # A training that fails counts as wrong on every image.
    return float(np.mean([each or 0.0 for each in accuracies]))


def difference(found: Sequence[Found], first: str, second: str, *, seed: int = 0) -> Difference:
    """The first strategy less the second in one space, over the seeds that both have; ConfigError where none."""
    generator = np.random.default_rng(seed)
    by_seed = {
        strategy: {each.job.seed: each.accuracy for each in found if each.job.strategy == strategy}
        for strategy in (first, second)
    }
    seeds = sorted(set(by_seed[first]) & set(by_seed[second]))
    if not seeds:
        raise ConfigError(f"{first} and {second} have no seed in common; nothing can be compared")
    ours, theirs = (np.array([by_seed[strategy][each] for each in seeds]) for strategy in (first, second))
    points_S = 100.0 * (ours - theirs)
    means_B = generator.choice(points_S, (BOOTSTRAPS, len(seeds))).mean(axis=1)
    low, high = np.percentile(means_B, [2.5, 97.5])
    return Difference(
        found[0].job.space, first, second, float(ours.mean()), float(theirs.mean()), float(points_S.mean()),
        float(low), float(high), len(seeds),
    )  # fmt: skip


def one_thread() -> None:
    """The initialiser of a process that measures."""
    torch.set_num_threads(1)
