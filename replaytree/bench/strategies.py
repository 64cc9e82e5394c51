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
from multiprocessing import get_context
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any

import torch

from replaytree.bench.paired import Ledger, PairedEvaluator
from replaytree.bench.peers import PEERS, installed_peers, new_peer
from replaytree.bench.standings import Outcome
from replaytree.bench.synthetic import is_synthetic, synthetic_table
from replaytree.bench.weights import require_digits_table, supernet_prior
from replaytree.config import SCORED_STRATEGIES, STRATEGY_NAMES, WARM_STRATEGIES, Budget, SearchConfig
from replaytree.config.strategies import foreign, require_own, without_foreign
from replaytree.errors import ConfigError
from replaytree.evaluate.tabular import Table, read_table
from replaytree.records import Space
from replaytree.search.search import Search
from replaytree.training import using

CHECKPOINTS = (10, 25, 50, 100, 200)
# The prior search draws other trainings than the search that learns from it.
OTHER_SEED = 1_000_000


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


def known_strategies() -> list[str]:
    """replaytree's strategies, and the peers that can run here."""
    return [*SCORED_STRATEGIES, *installed_peers()]


def require_strategies(names: Sequence[str], *, peers: bool = True) -> None:
    """ConfigError for a name that is not known, listing those that are, or that needs what is not installed."""
    known = [*SCORED_STRATEGIES, *(PEERS if peers else ())]
    for name in names:
        if name not in known:
            raise ConfigError(f"strategy is {name!r}; it must be one of {', '.join(known)} (--strategy)")
        if name not in known_strategies():
            raise ConfigError(f"{name} needs Optuna, which is not installed: pip install optuna")


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
    own = [name for name in strategies if name in STRATEGY_NAMES] or list(SCORED_STRATEGIES)
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


def require_apart(files: Sequence[TableFile]) -> Sequence[TableFile]:
    """The tables; ConfigError where two have one name, by which their searches are told apart."""
    names = [file.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two tables are called {name}; give one of them another name, or leave it out")
    return files


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


def run_jobs(jobs: Sequence[Job], *, processes: int) -> Iterable[Outcome]:
    """All jobs, `processes` at a time with one thread each, in order; one at a time here, in this process."""
    if processes == 1:
        with using(1):
            yield from map(run_job, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(run_job, jobs)


def run_job(job: Job) -> Outcome:
    """One search; its incumbent's regret at every checkpoint."""
    started = time.perf_counter()
    table = _table(job.table)
    regrets = _peer_regrets(job, table) if job.strategy in PEERS else _search_regrets(job, table)
    milliseconds = 1e3 * (time.perf_counter() - started) / job.trainings
    reached = dict(zip(checkpoints(job.trainings), regrets, strict=True))
    return Outcome(job.table.name, job.strategy, job.seed, reached, milliseconds)


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
            other_seed = OTHER_SEED + job.seed
            other = replace(job.table, accuracy=job.warm_start.accuracy)
            source = _search(other, storage, "other", {"strategy": "evolution", "seed": other_seed}, seed=other_seed)
            source.run(trainings=job.warm_start.trainings).tree.engine.dispose()
            options["warm_start"] = source.name
        search = _search(job.table, storage, "bench", options, seed=job.seed)
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


def _search(file: TableFile, storage: str, name: str, options: Mapping[str, Any], *, seed: int) -> Search:
    table = _table(file)
    evaluator = PairedEvaluator(table, seed=seed)
    layers = {"dataset": None, "min_layers": table.max_layers, "max_layers": table.max_layers}
    config = SearchConfig.from_options({**layers, **options})
    return Search(name=name, storage=storage, space=_space(file), evaluator=evaluator, config=config)


def _peer_regrets(job: Job, table: Table) -> list[float]:
    """A peer on the same table. Like a strategy, it is credited with every prefix that its trainings measured."""
    evaluator, space, ledger = PairedEvaluator(table, seed=job.seed), _space(job.table), Ledger()
    peer = new_peer(job.strategy, space, seed=job.seed)
    regrets = []
    for number in range(1, job.trainings + 1):
        path = peer.propose()
        accuracies = evaluator.evaluate([path], budget=Budget(1), seed=job.seed)[0].accuracies
        ledger.add(path, accuracies)
        # Of a path that ends too early to be a network there is none.
        peer.observe(path, (accuracies[-1] or 0.0) if accuracies else 0.0)
        if number in checkpoints(job.trainings):
            best = ledger.best()
            regrets.append(100.0 * table.best_accuracy if best is None else _regret(table, best))
    return regrets


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
