"""The cost of a tree in SQLite: recording, drawing, ranking and size; with Optuna's storage for comparison.

Our storage runs with its defaults: a write-ahead log with synchronous=NORMAL. A commit then survives the end of its
process; a power cut may lose the last commits, but never half of one. Optuna's default, a rollback journal with
synchronous=FULL, also survives a power cut, so ours is measured with synchronous=FULL as well.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
import torch
from sqlalchemy import event

from replaytree.config import SearchConfig
from replaytree.config.strategies.replay import ReplayOptions
from replaytree.errors import ConfigError
from replaytree.policy import ReplayMemory, ReplayStrategy
from replaytree.records import Path, PathEvaluation, Source
from replaytree.search.search import Search
from replaytree.search.state import pack
from replaytree.space import LayerSpace, xu24
from replaytree.tree import Episode, ReplayTree, open_engine

EPISODES_A_TRANSACTION = 500
COMMITS = 200
RANKINGS = 25
DRAWS = 1_000
VALIDATION_IMAGES = 5_000


@dataclass(frozen=True, slots=True)
class Milliseconds:
    """Time of one call: median and 95th percentile of wall time, and the mean of processor time."""

    median: float
    p95: float
    processor: float

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.median:.2f} ms (95th percentile {self.p95:.2f}, processor {self.processor:.2f})"


@dataclass(frozen=True, slots=True)
class TreeCost:
    """One size of tree, in one SQLite file, one thread.

    `paths_a_second` is the rate of filling the tree to this size, many paths a transaction. `commit` records one path
    of full depth and the strategy's state in a transaction. `draw` is one replay: the path, its probabilities and its
    rewards. `best_limited` is `best` with a limit of a tenth of the parameters of the leading prefixes. `view` reads
    the first five rows of best_prefixes. `first_episode_seconds` is for making a new search in the same database and
    its first turn.
    """

    nodes: int
    paths: int
    paths_a_second: float
    commit: Milliseconds
    draw: Milliseconds
    draws_a_second: float
    best: Milliseconds
    best_limited: Milliseconds
    view: Milliseconds
    first_episode_seconds: float
    bytes_a_node: float

    @property
    def text(self) -> str:
        """For people, a line a figure."""
        return "\n".join(
            (
                f"{self.nodes} nodes of {self.paths} paths in SQLite, {self.bytes_a_node:.0f} bytes a node",
                f"  filling                {self.paths_a_second:.0f} paths a second",
                f"  commit of one path     {self.commit.text}",
                f"  replay draw            {self.draw.text}, {self.draws_a_second:.0f} a second",
                f"  best of 10             {self.best.text}",
                f"  best within a limit    {self.best_limited.text}",
                f"  best_prefixes limit 5  {self.view.text}",
                f"  new search             first episode after {self.first_episode_seconds:.2f} s",
            )
        )


@dataclass(frozen=True, slots=True)
class OptunaCost:
    """Recordings a second of `count` paths, or trials of as many parameters, one after the other in new databases.

    `optuna_steps` asks for every parameter and tells the value, as a study does. `optuna_whole` adds finished trials,
    one a transaction. `ours` has our default durability, `ours_full` that of Optuna.
    """

    count: int
    parameters: int
    ours: float
    ours_full: float
    optuna_steps: float
    optuna_whole: float

    @property
    def text(self) -> str:
        """For people, a line a figure."""
        return "\n".join(
            (
                f"recorded a second, one after the other ({self.count} of {self.parameters} layers or parameters)",
                f"  replaytree                         {self.ours:.1f}",
                f"  replaytree, synchronous=FULL       {self.ours_full:.1f}",
                f"  Optuna, asked and told             {self.optuna_steps:.1f}  "
                f"({self.ours / self.optuna_steps:.0f} and {self.ours_full / self.optuna_steps:.0f} times fewer)",
                f"  Optuna, a finished trial at once   {self.optuna_whole:.1f}  "
                f"({self.ours / self.optuna_whole:.1f} and {self.ours_full / self.optuna_whole:.1f} times fewer)",
            )
        )


class Paths:
    """Full-depth episodes. Half start at the root, half continue a prefix of an earlier one, as a policy does.

    Accuracies rise with depth, vary with the layers and the training, and are multiples of 1/5000.
    """

    def __init__(self, space: LayerSpace, *, seed: int = 0) -> None:
        self._space = space
        self.depth = space.max_layers
        self._generator = np.random.default_rng(seed)
        self._earlier: list[Path] = []
        self._worth_DA = self._generator.normal(0.0, 0.01, (space.max_layers, space.num_actions))

    def episode(self) -> Episode:
        """The next one."""
        path: Path = ()
        if self._earlier and self._generator.random() < 0.5:
            earlier = self._earlier[self._generator.integers(len(self._earlier))]
            path = earlier[: self._generator.integers(1, len(earlier))]
        source: Source = "continue" if path else "sample"
        for u in self._generator.random(self._space.max_layers - len(path)):
            actions = [action for action, legal in enumerate(self._space.legal(path)) if legal]
            path = (*path, actions[int(u * len(actions))])
        self._earlier.append(path)
        depth = len(path)
        rise_T = 0.9 - 0.6 * np.exp(-0.5 * np.arange(1, depth + 1))
        worth_T = np.cumsum(self._worth_DA[np.arange(depth), path]) / np.sqrt(np.arange(1, depth + 1))
        noisy_T = rise_T + worth_T + self._generator.normal(0.0, 0.005, depth)
        accuracies = (np.clip(noisy_T, 0.0, 1.0) * VALIDATION_IMAGES).round() / VALIDATION_IMAGES
        return Episode(path, source, depth, 8, True, PathEvaluation(accuracies.tolist(), train_seconds=1.0))

    def evaluate(self, paths: Sequence[Path], *, budget: object, seed: int) -> list[PathEvaluation]:
        """At once, as an evaluator that costs nothing."""
        return [PathEvaluation(self._generator.random(len(path)).tolist()) for path in paths]


def measure_tree(sizes: Sequence[int], *, depth: int = 15, folder: FilePath | None = None) -> Iterator[TreeCost]:
    """Fill one SQLite file to each of the sizes in turn, through ReplayTree.record, and measure at each."""
    if list(sizes) != sorted(set(sizes)):
        raise ConfigError(f"nodes are {', '.join(map(str, sizes))}; give rising numbers (--nodes)")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file = FilePath(place) / "storage.db"
        space = _space(depth)
        tree = _tree(file, space)
        paths, memory, state = Paths(space), ReplayMemory(), _state(space)
        recorded = 0
        for size in sizes:
            before, seconds = recorded, 0.0
            while len(memory) < size:
                batch = [paths.episode() for _ in range(EPISODES_A_TRANSACTION)]
                started = time.perf_counter()
                nodes = tree.record(batch, state=state)
                seconds += time.perf_counter() - started
                memory.update(nodes)
                recorded += len(batch)
            yield _measured(tree, paths, memory, state, file=file, fill_rate=(recorded - before) / seconds)
        tree.engine.dispose()


def measure_optuna(count: int, *, parameters: int = 15) -> OptunaCost:
    """Record `count` paths here and `count` trials in Optuna's SQLite storage; ConfigError without Optuna."""
    with tempfile.TemporaryDirectory() as place:
        folder = FilePath(place)
        return OptunaCost(
            count=count,
            parameters=parameters,
            ours=_our_rate(folder / "ours.db", count, parameters),
            ours_full=_our_rate(folder / "full.db", count, parameters, synchronous="FULL"),
            optuna_steps=_optuna_rate(folder / "steps.db", count, parameters, whole=False),
            optuna_whole=_optuna_rate(folder / "whole.db", count, parameters, whole=True),
        )


def _measured(
    tree: ReplayTree, paths: Paths, memory: ReplayMemory, state: bytes, *, file: FilePath, fill_rate: float
) -> TreeCost:
    def commit() -> None:
        memory.update(tree.record([paths.episode()], state=state))

    def replay() -> None:
        path = memory.draw(generator)
        memory.behaviour(path)
        memory.rewards(path)

    def view() -> None:
        with tree.engine.connect() as connection:
            connection.exec_driver_sql("SELECT * FROM best_prefixes LIMIT 5").all()

    generator = torch.Generator().manual_seed(0)
    commits, draws = _timed(commit, COMMITS), _timed(replay, DRAWS)
    limit = int(0.1 * np.median([node.params or 0 for node in tree.best(100)]))
    info = tree.info()
    with tree.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return TreeCost(
        nodes=info.node_count,
        paths=info.episode_count,
        paths_a_second=fill_rate,
        commit=commits,
        draw=draws,
        draws_a_second=1e3 / draws.median,
        best=_timed(lambda: tree.best(10), RANKINGS),
        best_limited=_timed(lambda: tree.best(10, max_params=limit), RANKINGS),
        view=_timed(view, RANKINGS),
        first_episode_seconds=_first_episode(file, paths, depth=paths.depth, name=f"first at {info.node_count}"),
        bytes_a_node=file.stat().st_size / info.node_count,
    )


def _first_episode(file: FilePath, paths: Paths, *, depth: int, name: str) -> float:
    """Seconds of opening the database, making a search in it, and its first turn."""
    space = _space(depth)
    config = SearchConfig(dataset=None, strategy="replay", min_layers=depth, max_layers=depth)
    started = time.perf_counter()
    search = Search(storage=f"sqlite:///{file}", name=name, space=space, evaluator=paths, config=config)
    search.turn(1)
    seconds = time.perf_counter() - started
    search.tree.engine.dispose()
    return seconds


def _our_rate(file: FilePath, count: int, depth: int, *, synchronous: str | None = None) -> float:
    space = _space(depth)
    tree = _tree(file, space, synchronous=synchronous)
    paths, state = Paths(space), _state(space)
    episodes = [paths.episode() for _ in range(count)]
    started = time.perf_counter()
    for episode in episodes:
        tree.record([episode], state=state)
    rate = count / (time.perf_counter() - started)
    tree.engine.dispose()
    return rate


def _optuna_rate(file: FilePath, count: int, parameters: int, *, whole: bool) -> float:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"Optuna is not installed ({error}); run `pip install optuna`, or give --optuna 0") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(storage=f"sqlite:///{file}", sampler=sampler, direction="maximize")
    layers = optuna.distributions.CategoricalDistribution([str(layer) for layer in xu24()])
    generator = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(count):
        if whole:
            chosen = {f"layer{p}": layers.choices[generator.integers(24)] for p in range(parameters)}
            study.add_trial(
                optuna.trial.create_trial(params=chosen, distributions=dict.fromkeys(chosen, layers), value=0.5)
            )
        else:
            trial = study.ask()
            for p in range(parameters):
                trial.suggest_categorical(f"layer{p}", layers.choices)
            study.tell(trial, 0.5)
    return count / (time.perf_counter() - started)


def _space(depth: int) -> LayerSpace:
    return LayerSpace(xu24(), input_shape=(3, 32, 32), num_classes=10, max_layers=depth)


def _tree(file: FilePath, space: LayerSpace, *, synchronous: str | None = None) -> ReplayTree:
    engine = open_engine(f"sqlite:///{file}")
    if synchronous is not None:
        engine.dispose()
        event.listen(engine, "connect", lambda driver, _: driver.execute(f"PRAGMA synchronous={synchronous}").close())
    return ReplayTree.create(engine, "filled", space=space, seed=0, config_json='{"seed": 0}', versions={})


def _state(space: LayerSpace) -> bytes:
    """What a search stores beside every batch: the state of the default controller and its optimiser."""
    return pack({"strategy": ReplayStrategy(space, ReplayOptions(), seed=0).state_dict()})


def _timed(act: Callable[[], object], times: int) -> Milliseconds:
    clock = []
    processor = time.process_time()
    for _ in range(times):
        started = time.perf_counter()
        act()
        clock.append((time.perf_counter() - started) * 1e3)
    own = (time.process_time() - processor) * 1e3 / times
    return Milliseconds(float(np.median(clock)), float(np.percentile(clock, 95)), own)
