"""How far scores with shared weights can be trusted: Kendall's tau with trainings at the full budget.

The truth is the mean of several trainings of each path by itself, from a table: all 764 chains of a small space on the
digits (digits_table.py), or prefixes of random chains (truth.py). Beside it stand what another seed, a short training
and the number of FLOPs, which costs nothing, say of the same paths. Costs are processor seconds of this process.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path as FilePath

import numpy as np
import torch
from numpy.typing import NDArray

from replaytree.bench.digits_table import BATCH_SIZE, EPOCHS, VAL_FRACTION, digits_space
from replaytree.bench.truth import EPOCHS as SHORT_EPOCHS
from replaytree.bench.truth import SETTINGS, TRUE_EPOCHS, chain_path, read_truth_table, tau
from replaytree.config import Budget, SearchConfig, command
from replaytree.config.weights import WeightOptions
from replaytree.data import ImageData, load_data
from replaytree.errors import DataError
from replaytree.evaluate import InheritedEvaluator, SharedEvaluator, WholeEvaluator
from replaytree.evaluate.tabular import read_table
from replaytree.records import BudgetSums, NodeStats, Path
from replaytree.search.assembly import images_of
from replaytree.space.catalogue import space_of
from replaytree.space.graph_space import GraphSpace, require_networks
from replaytree.training import Recipe
from replaytree.training.recipe import BATCH

CPU = torch.device("cpu")
BEST = 10
# Whole paths whose training at the full budget is timed: what a training costs.
TIMED = 6

Scores = NDArray[np.float64]
"""One number a path, higher is better."""


@dataclass(frozen=True, slots=True)
class Known:
    """Paths whose accuracy is known. `trainings[s]` are the accuracies of one seed; their mean is the truth.

    `epochs` is the full budget, with `recipe` on `data`. `stored` are other scores that the table has, by their names.
    """

    name: str
    space: GraphSpace
    data: ImageData
    recipe: Recipe
    epochs: int
    paths: tuple[Path, ...]
    trainings: tuple[Scores, ...]
    stored: tuple[tuple[str, Scores], ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a way to score paths ranks them. Each figure is the mean over some seeds; `taus` are those of single seeds.

    `within` is the mean of the taus within each depth, `better_half` the tau among the paths that are at least as good
    as half of them; `regret` how much better, in percentage points, the best path is than the best of the ten that are
    ranked first. `train_seconds` and `score_seconds` are processor seconds; `trainings` is the first in trainings of a
    path at the full budget.
    """

    table: str
    method: str
    paths: int
    taus: tuple[float, ...]
    tau: float
    within: float
    better_half: float
    regret: float
    train_seconds: float
    score_seconds: float
    trainings: float


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one seed, and the processor seconds that they took. `truth` None: that of the table."""

    scores: Scores
    truth: Scores | None = None
    train_seconds: float = 0.0
    score_seconds: float = 0.0


def measure_weights(
    table: FilePath,
    *,
    passes: Sequence[float],
    short_epochs: Sequence[int],
    seeds: Sequence[int],
    inherited_epochs: Sequence[int] = (),
    data_dir: str | None = None,
) -> Iterator[Agreement]:
    """Each way to score the paths of a table, one after the other; a supernet for each number of passes and each seed.

    `table` is the digits table or a truth table. Short trainings are those of the paths by themselves.
    Inherited ones start from the weights of the longest prefix that the table has, where it has one.
    """
    torch.set_num_threads(1)
    known = read_known(table, data_dir=data_dir)
    unit = _training_seconds(known)
    yield agreement(known, "another seed", _other_seeds(known), unit=unit)
    yield agreement(known, "FLOPs", [Scored(_flops(known))], unit=unit)
    for method, scores in known.stored:
        yield agreement(known, method, [Scored(scores)], unit=unit)
    for epochs in short_epochs:
        scored = [_short(known, epochs, seed) for seed in seeds]
        yield agreement(known, f"fresh, {epochs} epochs", scored, unit=unit)
    for epochs in inherited_epochs:
        scored = [_inherited(known, epochs, seed) for seed in seeds]
        yield agreement(known, f"inherited, {epochs} epochs", scored, unit=unit)
    for number in passes:
        yield agreement(known, f"shared, {number:g} passes", [_shared(known, number, s) for s in seeds], unit=unit)


def read_known(table: FilePath, *, data_dir: str | None = None) -> Known:
    """The paths of a table and their accuracies; DataError for a file that is neither kind of table."""
    try:
        truth = read_truth_table(table)
    except DataError:
        return _digits(table)
    config = SearchConfig.from_options({"dataset": truth.dataset, "data_dir": data_dir, **SETTINGS[truth.dataset]})
    data = images_of(config)
    space = space_of(truth.space)
    if space is None:
        raise DataError(f"the table is of {truth.space.get('kind')!r}, which is no space with a name")
    known = require_networks(space, nested=True)
    by_path: dict[Path, tuple[float, ...]] = {}
    for chain in truth.chains:
        path = chain_path(known, chain.number)
        by_path |= {path[:depth]: (*chain.trainings[depth], chain.separate[depth - 1]) for depth in chain.truth}
    first, second, short = (np.array(each) for each in zip(*by_path.values(), strict=True))
    return Known(
        f"{truth.dataset} prefixes",
        known,
        data,
        Recipe.of(config, data),
        TRUE_EPOCHS,
        tuple(by_path),
        (first, second),
        ((f"fresh, {SHORT_EPOCHS} epochs (table)", short),),
    )


def _digits(table: FilePath) -> Known:
    space = digits_space()
    rows = read_table(table)
    by_path = {
        space.parse(" ".join(rows.labels[action] for action in path)): own for path, own in rows.accuracies.items()
    }
    seeds = tuple(np.array(each) for each in zip(*by_path.values(), strict=True))
    data, recipe = load_data("digits", val_fraction=VAL_FRACTION), Recipe(batch_size=BATCH_SIZE, crop_padding=1)
    return Known("digits chains", space, data, recipe, EPOCHS, tuple(by_path), seeds)


def agreement(known: Known, method: str, scored: Sequence[Scored], *, unit: float) -> Agreement:
    """What the scores of some seeds are worth; `unit` is what a training costs."""
    whole_N: Scores = np.mean(known.trainings, axis=0)
    depth_N = np.array(list(map(len, known.paths)))

    def mean(figure: Callable[[Scores, Scores], float]) -> float:
        return statistics.fmean(figure(each.scores, whole_N if each.truth is None else each.truth) for each in scored)

    def within(scores_N: Scores, truth_N: Scores) -> float:
        parts = [depth_N == depth for depth in sorted({*depth_N.tolist()})]
        taus = [tau(scores_N[part], truth_N[part]) for part in parts if part.sum() > 1]
        # A depth whose paths are all equal has none.
        known = [each for each in taus if not math.isnan(each)]
        return statistics.fmean(known) if known else math.nan

    def better_half(scores_N: Scores, truth_N: Scores) -> float:
        half_N = truth_N >= np.median(truth_N)
        return tau(scores_N[half_N], truth_N[half_N])

    def regret(scores_N: Scores, truth_N: Scores) -> float:
        first = np.argsort(-scores_N, kind="stable")[:BEST]
        return 100.0 * float(truth_N.max() - truth_N[first].max())

    taus = tuple(tau(each.scores, whole_N if each.truth is None else each.truth) for each in scored)
    seconds = statistics.fmean(each.train_seconds for each in scored)
    return Agreement(
        known.name,
        method,
        len(known.paths),
        taus,
        statistics.fmean(taus),
        mean(within),
        mean(better_half),
        mean(regret),
        seconds,
        statistics.fmean(each.score_seconds for each in scored),
        seconds / unit,
    )


def _training_seconds(known: Known) -> float:
    """Processor seconds of a training at the full budget: the mean of some of the deepest paths."""
    evaluator = WholeEvaluator(known.space, known.data, recipe=known.recipe, device=CPU)
    deepest = [path for path in known.paths if len(path) == max(map(len, known.paths))]
    evaluator.evaluate(deepest[:1], budget=Budget(1), seed=0)
    started = time.process_time()
    timed = deepest[:: max(1, len(deepest) // TIMED)][:TIMED]
    evaluator.evaluate(timed, budget=Budget(known.epochs), seed=0)
    return (time.process_time() - started) / len(timed)


def _other_seeds(known: Known) -> list[Scored]:
    """Each seed against the mean of the others: as well as a full training could rank."""
    return [
        Scored(own, truth=np.mean([each for each in known.trainings if each is not own], axis=0))
        for own in known.trainings
    ]


def _short(known: Known, epochs: int, seed: int) -> Scored:
    """Every path trained by itself for a few epochs; a failure counts as 0."""
    evaluator = WholeEvaluator(known.space, known.data, recipe=known.recipe, device=CPU)
    started = time.process_time()
    found = evaluator.evaluate(known.paths, budget=Budget(epochs), seed=1_000_000 * (seed + 1))
    scores = np.array([0.0 if each.failure else each.accuracies[-1] for each in found], dtype=float)
    return Scored(scores, train_seconds=time.process_time() - started)


def _inherited(known: Known, epochs: int, seed: int) -> Scored:
    """Every path trained for a few epochs from the weights of its longest prefix, shallow paths first.

    Paths without a prefix in the table are trained at the full budget.
    """
    evaluator = InheritedEvaluator(
        partial(WholeEvaluator, known.space, known.data, recipe=known.recipe, device=CPU),
        keep=len(known.paths),
        share=epochs / known.epochs,
    )
    order = sorted(range(len(known.paths)), key=lambda place: len(known.paths[place]))
    started = time.process_time()
    found = evaluator.evaluate(
        [known.paths[place] for place in order], budget=Budget(known.epochs), seed=1_000_000 * (seed + 1)
    )
    scores = np.zeros(len(order))
    scores[order] = [0.0 if each.failure else each.accuracies[-1] for each in found]
    return Scored(scores, train_seconds=time.process_time() - started)


def _shared(known: Known, passes: float, seed: int) -> Scored:
    """A supernet that is trained on random paths, and scores all paths."""
    recipe = replace(known.recipe, batch_size=BATCH)
    weights = WeightOptions(weights="shared")
    evaluator = SharedEvaluator(known.space, known.data, recipe=recipe, device=CPU, weights=weights, seed=seed)
    started = time.process_time()
    evaluator.prepare(passes, seed=seed)
    trained = time.process_time()
    found = evaluator.rescore(known.paths)
    scores = np.array([0.0 if each.failure else each.accuracies[-1] for each in found], dtype=float)
    return Scored(scores, train_seconds=trained - started, score_seconds=time.process_time() - trained)


def require_digits_table(table: FilePath) -> None:
    """DataError for another table."""
    rows, labels = read_table(table), {layer.label for layer in digits_space().layers}
    if not labels >= set(rows.labels):
        raise DataError(
            f"{table} is not the digits table: its layers are {', '.join(rows.labels)[:80]}; "
            f"`{command('bench', 'digits-table')}` makes one"
        )


def supernet_prior(table: FilePath, *, passes: float, seed: int, epochs: int) -> list[NodeStats]:
    """What a supernet says of all paths of the digits table, as actions of the table, each as one training."""
    known = _digits(table)
    scores = _shared(known, passes, seed).scores
    told = dict(zip(read_table(table).accuracies, scores.tolist(), strict=True))
    return [
        NodeStats(path, 0, (BudgetSums(epochs, 1, told[path]),)) for path in sorted(told, key=lambda p: (len(p), p))
    ]


def _flops(known: Known) -> Scores:
    return np.array([known.space.network(path).flops for path in known.paths], dtype=float)
