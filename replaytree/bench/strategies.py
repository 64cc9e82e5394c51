"""Which strategy finds good networks with the fewest trainings? Measured on tables of known accuracies.

For each strategy and seed a real search runs on the table, in memory. At each checkpoint the incumbent is the prefix
that `best` ranks first. Its regret is the table's best mean accuracy less the mean accuracy of the incumbent, in
percentage points. The mean is over all trainings of the table, so that one lucky training does not count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from replaytree.bench.synthetic import is_synthetic, synthetic_table
from replaytree.bench.weights import require_digits_table, supernet_prior
from replaytree.config import STRATEGY_NAMES, WARM_STRATEGIES, Budget, SearchConfig
from replaytree.config.strategies import foreign, require_own, without_foreign
from replaytree.errors import ConfigError
from replaytree.evaluate.tabular import Table, TabularEvaluator, read_table
from replaytree.records import Path, Space
from replaytree.search.search import Search
from replaytree.space.coding import Values, allows, encode, ended

CHECKPOINTS = (10, 25, 50, 100, 200)
OPTUNA_SAMPLERS = ("optuna-tpe", "optuna-gp")
BOOTSTRAPS = 10_000
# The prior search draws other trainings than the search that learns from it.
OTHER_SEED = 1000


@dataclass(frozen=True, slots=True)
class TableFile:
    """Where a table is and how to read it; see read_table. `file` may also name a synthetic table (synthetic.py)."""

    file: str
    accuracy: tuple[str, ...] | None = None
    percent: bool = False
    complete: str | None = None

    @property
    def name(self) -> str:
        """What it is called in a report: a file without its folder."""
        return self.file if is_synthetic(self.file) else FilePath(self.file).name


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The search that others learn from first: `trainings` of an evolution on other columns of the same table."""

    accuracy: tuple[str, ...]
    trainings: int


@dataclass(frozen=True, slots=True)
class Job:
    """One search on one table. `options` are fields of SearchConfig.

    `prior_passes`: it learns first from a supernet that was trained so long, which only the digits table can have.
    """

    table: TableFile
    strategy: str
    seed: int
    trainings: int
    options: tuple[tuple[str, object], ...] = ()
    warm_start: WarmStart | None = None
    prior_passes: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """`regrets` in percentage points at the checkpoints reached; `seconds` of the whole search."""

    job: Job
    regrets: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean regret over the seeds at one checkpoint, in percentage points, with a 95 % bootstrap interval."""

    table: str
    strategy: str
    trainings: int
    mean: float
    low: float
    high: float
    seeds: int
    milliseconds: float


def known_strategies() -> list[str]:
    """replaytree's strategies, and Optuna's samplers where Optuna is installed."""
    return [*STRATEGY_NAMES, *(OPTUNA_SAMPLERS if find_spec("optuna") else ())]


def require_strategies(names: Sequence[str]) -> None:
    """ConfigError for a name that is not known, listing those that are."""
    known = [*STRATEGY_NAMES, *OPTUNA_SAMPLERS]
    for name in names:
        if name not in known:
            raise ConfigError(f"strategy is {name!r}; it must be one of {', '.join(known)} (--strategy)")


def parse_options(texts: Sequence[str], strategies: Sequence[str]) -> tuple[tuple[str, object], ...]:
    """['gamma=0.5'] -> (('gamma', 0.5),), checked as a configuration; ConfigError otherwise.

    An option must be one of a strategy that is measured; the others are measured without it.
    """
    options: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--option is {text!r}; write NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    own = [name for name in strategies if name in STRATEGY_NAMES] or list(STRATEGY_NAMES)
    for name in own:
        SearchConfig.from_options({"strategy": name, **without_foreign(name, options)})
    require_own(own[0], (name for name in options if all(foreign(each, [name]) for each in own)))
    return tuple(options.items())


def parse_table(text: str, *, default: TableFile) -> TableFile:
    """'cells.csv,accuracy=val_acc,percent,complete=none' -> where the table is and how to read it.

    What the text does not say is as in `default`. A synthetic table needs none of it. ConfigError for other words.
    """
    file, *words = [text] if FilePath(text).is_file() else text.split(",")
    found = TableFile(file) if is_synthetic(file) else replace(default, file=file)
    columns = []
    for word in words:
        name, _, value = word.partition("=")
        if name == "accuracy" and value:
            columns.append(value)
        elif word == "percent":
            found = replace(found, percent=True)
        elif name == "complete" and value:
            found = replace(found, complete=value)
        else:
            raise ConfigError(
                f"{text!r} has {word!r} behind the file; write accuracy=COLUMN, percent or complete=LAYER"
            )
    if is_synthetic(file) and words:
        raise ConfigError(f"{text!r} has {words[0]!r} behind a synthetic table, which needs nothing to be read")
    return replace(found, accuracy=tuple(columns)) if columns else found


def check_table(file: TableFile) -> None:
    """DataError where the table cannot be used, before any process is started."""
    _table(file)


def require_warm(warm: WarmStart | None, strategies: Sequence[str], file: TableFile) -> None:
    """ConfigError for a strategy that learns from no other search, DataError for columns that cannot be used."""
    if warm is None:
        return
    _require_warm_strategies(strategies, "--warm-start")
    check_table(replace(file, accuracy=warm.accuracy))


def require_prior(passes: float | None, strategies: Sequence[str], file: TableFile) -> None:
    """ConfigError for a strategy that learns from no prior, DataError for a table that is not of the digits."""
    if passes is not None:
        _require_warm_strategies(strategies, "--prior")
        require_digits_table(FilePath(file.file))


def _require_warm_strategies(strategies: Sequence[str], flag: str) -> None:
    for name in strategies:
        if name not in WARM_STRATEGIES:
            raise ConfigError(f"{flag} is for --strategy {' and '.join(WARM_STRATEGIES)}, not {name}")


def described(summaries: Sequence[Summary]) -> str:
    """A line: strategy, mean regret [interval] at each checkpoint, milliseconds a training."""
    cells = "  ".join(f"{s.trainings}: {s.mean:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in summaries)
    return f"{summaries[0].strategy:<11} {cells}  ({summaries[0].seeds} seeds, {summaries[0].milliseconds:.0f} ms)"


def drawn(summaries: Sequence[Summary], *, title: str) -> go.Figure:
    """Mean regret with its interval against trainings, a line a table and strategy, both axes logarithmic."""
    figure = go.Figure()
    tables = list(dict.fromkeys(summary.table for summary in summaries))
    for table, strategy in dict.fromkeys((summary.table, summary.strategy) for summary in summaries):
        own = [summary for summary in summaries if (summary.table, summary.strategy) == (table, strategy)]
        figure.add_scatter(
            x=[s.trainings for s in own],
            y=[s.mean for s in own],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [s.high - s.mean for s in own],
                "arrayminus": [s.mean - s.low for s in own],
            },
            name=strategy if len(tables) == 1 else f"{strategy}, {table}",
            mode="lines+markers",
        )
    figure.update_layout(
        title=title, xaxis={"title": "trainings", "type": "log"}, yaxis={"title": "mean regret, points", "type": "log"}
    )
    return figure


def run_jobs(jobs: Sequence[Job], *, processes: int) -> Iterable[Result]:
    """All jobs, `processes` at a time with one thread each, in order."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(run_job, jobs)


def run_job(job: Job) -> Result:
    """One search; its incumbent's regret at every checkpoint."""
    started = time.perf_counter()
    table = _table(job.table)
    regrets = _optuna_regrets(job, table) if job.strategy in OPTUNA_SAMPLERS else _search_regrets(job, table)
    return Result(job, tuple(regrets), time.perf_counter() - started)


def summarize(results: Sequence[Result], *, seed: int = 0) -> list[Summary]:
    """One row a table, strategy and checkpoint."""
    generator = np.random.default_rng(seed)
    summaries = []
    for table, strategy in dict.fromkeys((result.job.table, result.job.strategy) for result in results):
        own = [result for result in results if (result.job.table, result.job.strategy) == (table, strategy)]
        regrets_SC = np.array([result.regrets for result in own])
        cost = 1e3 * float(np.mean([result.seconds / result.job.trainings for result in own]))
        for c, trainings in enumerate(checkpoints(own[0].job.trainings)):
            values_S = regrets_SC[:, c]
            means_B = generator.choice(values_S, (BOOTSTRAPS, len(own))).mean(axis=1)
            low, high = np.percentile(means_B, [2.5, 97.5])
            mean = float(values_S.mean())
            summaries.append(Summary(table.name, strategy, trainings, mean, float(low), float(high), len(own), cost))
    return summaries


def checkpoints(trainings: int) -> list[int]:
    """The CHECKPOINTS up to `trainings`, and `trainings` itself."""
    return sorted({*(c for c in CHECKPOINTS if c < trainings), trainings})


def _search_regrets(job: Job, table: Table) -> list[float]:
    options = {"strategy": job.strategy, "seed": job.seed, **without_foreign(job.strategy, dict(job.options))}
    with TemporaryDirectory() as folder:
        storage = "sqlite://"
        if job.warm_start is not None:
            # Two searches share a database; one in memory has one owner.
            storage = f"sqlite:///{folder}/bench.db"
            other = replace(job.table, accuracy=job.warm_start.accuracy)
            source = _search(other, storage, "other", {"strategy": "evolution", "seed": OTHER_SEED + job.seed})
            source.run(trainings=job.warm_start.trainings).tree.engine.dispose()
            options["warm_start"] = source.name
        search = _search(job.table, storage, "bench", options)
        if job.prior_passes is not None:
            epochs = search.config.budget.epochs_last
            nodes = supernet_prior(FilePath(job.table.file), passes=job.prior_passes, seed=job.seed, epochs=epochs)
            search.tree.store_prior(nodes)
            search.learner.restore(search.tree)
        regrets = []
        for checkpoint in checkpoints(job.trainings):
            search.run(trainings=checkpoint - search.training_count)
            regrets.append(_regret(table, search.tree.best(1)[0].path))
        search.tree.engine.dispose()
    return regrets


def _search(file: TableFile, storage: str, name: str, options: Mapping[str, object]) -> Search:
    table = _table(file)
    layers = {"dataset": None, "min_layers": table.max_layers, "max_layers": table.max_layers}
    config = SearchConfig.from_options({**layers, **options})
    return Search(name=name, storage=storage, space=_space(file), evaluator=TabularEvaluator(table), config=config)


def _optuna_regrets(job: Job, table: Table) -> list[float]:
    """Optuna on the same table: one categorical parameter a decision, the whole path's accuracy as its value."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {"optuna-tpe": optuna.samplers.TPESampler, "optuna-gp": optuna.samplers.GPSampler}
    study = optuna.create_study(direction="maximize", sampler=samplers[job.strategy](seed=job.seed))
    evaluator, space = TabularEvaluator(table), _space(job.table)
    best: tuple[float, tuple[int, ...]] = (-1.0, ())
    regrets = []
    for number in range(1, job.trainings + 1):
        trial = study.ask()
        path = _suggested(trial, space)
        accuracies = _evaluated(evaluator, path, seed=job.seed * 10_000 + number)
        study.tell(trial, accuracies[-1] if accuracies else 0.0)
        # Like replaytree, Optuna is credited with every prefix that its training measured.
        best = max([best, *((value, path[: t + 1]) for t, value in enumerate(accuracies))])
        if number in checkpoints(job.trainings):
            regrets.append(_regret(table, best[1]))
    return regrets


def _suggested(trial: Any, space: Space) -> Path:
    """The path of a trial, one categorical parameter a decision; it ends before what is illegal."""
    path: Path = ()
    while not ended(space, path):
        decisions = space.decisions(len(path) + 1)
        chosen: Values = ()
        for decision in decisions:
            value = trial.suggest_categorical(f"{decision.name}{len(path)}", list(range(decision.size)))
            if not allows(decision, space.legal(path, chosen), value):
                return path
            chosen = (*chosen, value)
        path = (*path, encode(decisions, chosen))
    return path


def _evaluated(evaluator: TabularEvaluator, path: tuple[int, ...], *, seed: int) -> Sequence[float]:
    found = evaluator.evaluate([path], budget=Budget(1), seed=seed)[0].accuracies if path else ()
    return [accuracy for accuracy in found if accuracy is not None]


def _regret(table: Table, path: tuple[int, ...]) -> float:
    return 100.0 * (table.best_accuracy - table.true_accuracy(path))


@cache
def _table(file: TableFile) -> Table:
    if is_synthetic(file.file):
        return synthetic_table(file.file)
    return read_table(FilePath(file.file), accuracy=file.accuracy, percent=file.percent, complete=file.complete)


@cache
def _space(file: TableFile) -> Space:
    return _table(file).space()


def _one_thread() -> None:
    torch.set_num_threads(1)
