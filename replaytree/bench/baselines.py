"""A search and the retraining of what it found, against a hand-made network that is trained for as many seconds.

Both are trained with the recipe of `retrain` on the train and validation images, and measured on the test images. The
hand-made network has its published size, or the width that the limits of the search allow, and about as many whole
epochs as fit into the processor seconds of search and retraining, by the time of a few steps, one at least. Its
learning rate falls to the end, however few they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from replaytree.bench.precision import training_step
from replaytree.bench.spaces import Difference, Found, difference, one_thread
from replaytree.bench.spaces import Job as SearchJob
from replaytree.config import SearchConfig
from replaytree.config.retraining import RetrainOptions
from replaytree.data import ImageData
from replaytree.deliver import Subject, retrain, search_subject
from replaytree.deliver.baseline_networks import baseline
from replaytree.deliver.baselines import baseline_subjects, size_of
from replaytree.deliver.final_recipe import full_recipe
from replaytree.deliver.retrain import has_test_part
from replaytree.errors import ConfigError
from replaytree.search.search import Search
from replaytree.sources.task import task_of
from replaytree.space import Graph
from replaytree.space.graph_space import require_networks
from replaytree.training import Recipe, Threads

CPU = torch.device("cpu")
FOUND = "found"
# Processor seconds are those of one thread.
ONE_THREAD = {"device": "cpu", "threads": 1}
STEPS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """One seed: a search of so many minutes, a retraining of so many epochs. `options` are fields of SearchConfig.

    `full_size`: the baseline as wide as published, whatever the limits of the search.
    """

    baseline: str
    seed: int
    minutes: float
    epochs: int
    options: tuple[tuple[str, object], ...]
    full_size: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """A network, and what became of it; the processor seconds of what was found are those of its search, too."""

    name: str
    labels: str
    params: int
    flops: int
    epochs: int
    seconds: float
    test_accuracy: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both networks of a seed, and how many trainings the search had."""

    job: Job
    trainings: int
    found: Trained
    baseline: Trained


def run_jobs(jobs: Sequence[Job], *, processes: int) -> Iterable[Outcome]:
    """All jobs, `processes` at a time with one thread each, in order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(run_job, jobs)


def run_job(job: Job) -> Outcome:
    """A search and its answer retrained, and the baseline.

    ConfigError, before the search, for what `require` refuses, for images without a test part, and for limits that no
    width of the baseline meets.
    """
    require(job)
    begun = time.process_time()
    options = {**dict(job.options), "seed": job.seed, **ONE_THREAD}
    search = Search(name="found", storage="sqlite://", config=SearchConfig.from_options(options))
    data = search.data
    assert isinstance(data, ImageData), "the searched spaces are of images"
    # Before the search, whose limits may be too narrow for it.
    size = size_of(search.tree) if search.config.space.limits and not job.full_size else None
    [other], _ = baseline_subjects(search.tree, [job.baseline], size=size)
    if not has_test_part(other):
        raise ConfigError(f"{data.name} has no test images, by which networks are compared; choose other images")
    search.run(hours=job.minutes / 60)
    searched = time.process_time() - begun
    subject = search_subject(search.tree, require_networks(search.space), data, search.config)
    found = _trained(FOUND, subject, epochs=job.epochs, seed=job.seed, before=searched)
    epochs = max(1, int(found.seconds / epoch_seconds(other)))
    theirs = _trained(job.baseline, other, epochs=epochs, seed=job.seed)
    trainings = search.training_count
    search.tree.engine.dispose()
    return Outcome(job, trainings, found, theirs)


def require(job: Job) -> None:
    """ConfigError for a baseline that there is not, for options of the measurement itself, and for a text."""
    baseline(job.baseline)
    for name in ("seed", *ONE_THREAD):
        if name in dict(job.options):
            raise ConfigError(f"{name} is the measurement's own; leave out --option {name}=...")
    source = SearchConfig.from_options(dict(job.options)).source
    if task_of(str(source.dataset), data_dir=source.data_dir, task=source.task) == "text":
        raise ConfigError(f"baselines are networks for images, and {source.dataset} is a text; choose images")


def compared(outcomes: Sequence[Outcome]) -> Difference:
    """What was found less the baseline, over the seeds."""
    rows = [
        Found(
            SearchJob("", each.name, outcome.job.seed, outcome.trainings, 1, outcome.job.options), each.labels,
            each.params, 0.0, each.test_accuracy, each.seconds,
        )
        for outcome in outcomes
        for each in (outcome.found, outcome.baseline)
    ]  # fmt: skip
    return difference(rows, FOUND, outcomes[0].job.baseline)


def epoch_seconds(subject: Subject) -> float:
    """Processor seconds of an epoch of a retraining on a CPU, by a few of its steps."""
    data, graph = subject.data, subject.graph
    assert isinstance(data, ImageData), "baselines are of images"
    assert isinstance(graph, Graph), "baselines are graphs"
    recipe = _recipe(subject, epochs=1)
    step = training_step(graph, recipe.precision, shape=data.image_shape, batch=recipe.batch_size)
    spent = []
    for _ in range(1 + STEPS):
        begun = time.process_time()
        step()
        spent.append(time.process_time() - begun)
    images = len(data.train_labels) + len(data.val_labels)
    return median(spent[1:]) * images / recipe.batch_size


def _recipe(subject: Subject, *, epochs: int) -> Recipe:
    return full_recipe(subject, RetrainOptions(), preset=None, epochs=epochs)[0]


def _trained(name: str, subject: Subject, *, epochs: int, seed: int, before: float = 0.0) -> Trained:
    begun = time.process_time()
    with TemporaryDirectory() as folder:
        [result] = retrain(
            subject, recipe=_recipe(subject, epochs=epochs), epochs=epochs, seeds=[seed], folder=Path(folder),
            device=CPU, threads=Threads(1),
        )  # fmt: skip
    graph, seconds = subject.graph, before + time.process_time() - begun
    accuracy = result.test_accuracy
    assert accuracy is not None, "there are test images"
    return Trained(name, " ".join(subject.labels), graph.params, graph.flops, epochs, seconds, accuracy)
