"""The cost of the loop without its trainings: milliseconds an episode, at full depth, on a large tree."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np

from replaytree.config import Budget, SearchConfig
from replaytree.records import Path, PathEvaluation, Space
from replaytree.search.search import Search
from replaytree.space import LayerSpace, xu24


@dataclass(frozen=True, slots=True)
class LoopCost:
    """`median_ms` and `p95_ms`: milliseconds an episode without the evaluator, over `episodes` episodes."""

    strategy: str
    depth: int
    nodes: int
    episodes: int
    median_ms: float
    p95_ms: float


class Instant:
    """An evaluator that answers at once with accuracies from a hash of the path, and adds up the seconds it took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """See above."""
        started = time.perf_counter()
        results = [
            PathEvaluation(np.random.default_rng([seed, *path]).uniform(0.5, 0.9, len(path)).tolist()) for path in paths
        ]
        self.seconds += time.perf_counter() - started
        return results


def measure_loop(strategy: str, *, depth: int = 15, nodes: int = 10_000, episodes: int = 200) -> LoopCost:
    """Grow a tree of at least `nodes` nodes in a SQLite file, then time `episodes` turns of one."""
    space = LayerSpace(xu24(), input_shape=(3, 32, 32), num_classes=10, max_layers=depth)
    evaluator = Instant()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{FilePath(folder) / 'loop.db'}"
        search = grown(strategy, space, evaluator, storage=storage, depth=depth, nodes=nodes)
        milliseconds = []
        for _ in range(episodes):
            evaluator.seconds = 0.0
            started = time.perf_counter()
            search.turn(1)
            milliseconds.append((time.perf_counter() - started - evaluator.seconds) * 1e3)
        return LoopCost(
            strategy=strategy,
            depth=depth,
            nodes=len(search.memory),
            episodes=episodes,
            median_ms=float(np.median(milliseconds)),
            p95_ms=float(np.percentile(milliseconds, 95)),
        )


def grown(strategy: str, space: Space, evaluator: Instant, *, storage: str, depth: int, nodes: int) -> Search:
    """A search at full depth whose tree has at least `nodes` nodes."""
    config = SearchConfig.from_options(
        {"dataset": None, "strategy": strategy, "min_layers": depth, "max_layers": depth}
    )
    search = Search(storage=storage, name="loop", space=space, evaluator=evaluator, config=config)
    while len(search.memory) < nodes:
        search.turn(50)
    return search
