"""Whether the memory of a long search grows: on a small table, whose tree is soon complete."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path as FilePath

import numpy as np

from replaytree.config import SearchConfig
from replaytree.evaluate.tabular import Table, TabularEvaluator
from replaytree.search.search import Search

LABELS = ("conv", "pool", "res")
LAYERS = 4
REPEATS = 3


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """Memory of the driver after so many episodes, in megabytes (1e6 bytes)."""

    strategy: str
    episodes: int
    nodes: int
    megabytes: float


def measure_memory(strategy: str, *, episodes: int = 5_000, every: int = 500) -> Iterator[MemoryPoint]:
    """Run a search of `episodes` episodes in a SQLite file, and look at the memory after every `every`."""
    table = small_table()
    config = SearchConfig.from_options(
        {"dataset": None, "strategy": strategy, "min_layers": LAYERS, "max_layers": LAYERS}
    )
    with tempfile.TemporaryDirectory() as folder:
        search = Search(
            storage=f"sqlite:///{FilePath(folder) / 'memory.db'}",
            name="memory",
            space=table.space(),
            evaluator=TabularEvaluator(table),
            config=config,
        )
        while search.episode_count < episodes:
            search.run(episodes=min(every, episodes - search.episode_count))
            yield MemoryPoint(strategy, search.episode_count, len(search.memory), resident_bytes() / 1e6)
        search.tree.engine.dispose()


def small_table() -> Table:
    """All 120 chains of up to four of three labels, of three trainings each."""
    generator = np.random.default_rng(0)
    paths = [path for depth in range(1, LAYERS + 1) for path in product(range(len(LABELS)), repeat=depth)]
    accuracies = {path: tuple(generator.uniform(0.5, 0.9, REPEATS).tolist()) for path in paths}
    return Table(LABELS, accuracies, costs={})


def resident_bytes() -> int:
    """Resident memory of this process now; without /proc, its peak."""
    statm = FilePath("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
