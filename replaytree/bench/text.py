"""How well recurrent cells do on a text, by perplexity: cells of people, published ones, and what searches found.

All have one recipe, and about the same number of parameters: the hidden size is the largest with which a network has no
more than asked for. They are retrained as `replaytree retrain` does, so that test perplexities come from its one door.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from replaytree import metric
from replaytree.config import SearchConfig
from replaytree.data import TextData, load_source
from replaytree.deliver.full_training import TrainingDiverged
from replaytree.deliver.retrain import Retraining
from replaytree.deliver.subject import Subject
from replaytree.errors import ConfigError, SpaceError
from replaytree.space.catalogue import meant, named_space, parse_path_of
from replaytree.space.coding import labels
from replaytree.space.graph_space import require_networks
from replaytree.training import Recipe, resolve_device
from replaytree.training.diverged import Diverged
from replaytree.training.text import MOST_NATS
from replaytree.tree import ReplayTree

MOST_HIDDEN = 2**14


@dataclass(frozen=True, slots=True)
class Contender:
    """A cell: its name here, its space, its path as people write it, and the options of its space but the sizes."""

    name: str
    space: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)


CELLS: dict[str, Contender] = {
    each.name: each
    for each in (
        Contender("rnn", "plain-rnn", "rnn"),
        Contender("lstm", "plain-rnn", "lstm"),
        Contender("ENAS", "enas-rnn", "ENAS"),
        Contender("ENAS-LM", "enas-rnn", "ENAS-LM"),
        Contender("DARTS_V1", "darts-rnn", "DARTS_V1"),
        Contender("DARTS_V2", "darts-rnn", "DARTS_V2"),
        Contender("NASCell", "nas-rnn", "NASCell"),
    )
}


@dataclass(frozen=True, slots=True)
class Job:
    """What all cells have in common. `options` are fields of SearchConfig: the recipe. `params`: at most so many."""

    dataset: str
    params: int
    epochs: int
    seeds: int
    train_limit: int | None = None
    min_count: int = 1
    data_dir: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def config(self) -> SearchConfig:
        """The recipe, as a configuration."""
        source = {"dataset": self.dataset, "train_limit": self.train_limit, "min_count": self.min_count}
        return SearchConfig.from_options(
            {**source, "data_dir": self.data_dir, "space": "enas-rnn", **dict(self.options)}
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """A cell, retrained: perplexities by seed, infinite where a training diverged; `test` is empty without a test part.

    `seconds` are the mean of a training.
    """

    name: str
    labels: str
    hidden: int
    params: int
    validation: tuple[float, ...]
    test: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Mean:
    """exp of the mean loss in nats a word, and its 95 % interval by Student's t; None for one, or with an infinite one.

    Not the mean of perplexities: one training that went astray would be all that it says.
    """

    mean: float
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, perplexities: Sequence[float]) -> Mean:
        """exp(mean -+ t s / sqrt(n)) of their logarithms."""
        nats, n = [math.log(each) for each in perplexities], len(perplexities)
        mean = fmean(nats)
        if n < 2 or not math.isfinite(mean):
            return cls(_exp(mean), None)
        half = float(stats.t.ppf(0.975, n - 1)) * stdev(nats) / n**0.5
        return cls(_exp(mean), (_exp(mean - half), _exp(mean + half)))


def _exp(nats: float) -> float:
    return math.exp(nats) if nats <= MOST_NATS else math.inf


def found_by(tree: ReplayTree, name: str) -> Contender:
    """The best cell of a search on a text."""
    info = tree.info()
    kind = str(info.space["kind"])
    leaders = tree.best(1)
    if not leaders:
        raise ConfigError(f"search {name!r} has no cell that was measured; let it go on first")
    sizes = ("kind", "format", "input_shape", "num_classes", "max_layers", "hidden", "embedding")
    options = {option: value for option, value in info.space.items() if option not in sizes}
    return Contender(name, kind, " ".join(leaders[0].labels), options)


def measure(contenders: Sequence[Contender], job: Job) -> Iterator[Trained]:
    """Each cell in turn, with every seed."""
    config = job.config
    keywords: dict[str, Any] = {
        "dataset": job.dataset, "task": "text", "train_limit": job.train_limit, "min_count": job.min_count,
    }  # fmt: skip
    data = load_source(**keywords, data_dir=job.data_dir)
    if not isinstance(data, TextData):
        raise ConfigError(f"dataset is {job.dataset!r}, which is no text (--dataset)")
    recipe = Recipe.of(config, data)
    # All of them before the first training, so that a mistake in the last is not found after hours.
    subjects = [(each, *sized(each, data, job, keywords)) for each in contenders]
    for contender, subject, hidden in subjects:
        yield _trained(contender, subject, hidden, recipe, job)


def sized(contender: Contender, data: TextData, job: Job, keywords: dict[str, Any]) -> tuple[Subject, int]:
    """A cell with the largest hidden size with which it has at most `job.params` parameters, and that size."""
    published = meant(contender.space, contender.path)
    own = {} if published is None else dict(published.options)
    text = contender.path if published is None else published.path

    def subject(hidden: int) -> Subject:
        options = {**own, **contender.options, "hidden": hidden}
        space = named_space(
            contender.space, input_shape=data.input_shape, num_classes=data.num_classes,
            max_layers=len(text.split()), **options,
        )  # fmt: skip
        path = parse_path_of(space, text)
        network = require_networks(space).network(path)
        return Subject(network, labels(space, path), data, dict(keywords), data_dir=job.data_dir)

    low, high = 0, MOST_HIDDEN
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if subject(middle).graph.params <= job.params else (low, middle - 1)
    if not low:
        raise SpaceError(
            f"{contender.name} has {subject(1).graph.params:,} parameters with a hidden size of 1, more than "
            f"{job.params:,}; give more (--params)"
        )
    return subject(low), low


def _trained(contender: Contender, subject: Subject, hidden: int, recipe: Recipe, job: Job) -> Trained:
    of_text = metric.of("text")
    retraining = Retraining(subject, recipe, epochs=job.epochs)
    device = resolve_device(job.config.machine.device)
    validation, test = [], []
    started = time.perf_counter()
    for seed in range(job.seeds):
        try:
            _, measured = retraining.run(seed, device=device)
        except (Diverged, TrainingDiverged):
            validation.append(float("inf"))
            test.append(float("inf"))
            continue
        found = measured.description
        for fraction, numbers in ((found.validation_accuracy, validation), (found.test_accuracy, test)):
            if fraction is not None:
                numbers.append(of_text.number(fraction))
    seconds = (time.perf_counter() - started) / job.seeds
    return Trained(
        contender.name, " ".join(subject.labels), hidden, subject.graph.params, tuple(validation), tuple(test), seconds
    )
