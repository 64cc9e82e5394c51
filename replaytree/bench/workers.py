"""What several workers are worth: trainings a minute with each number of them, alone and beside busy processes.

All searches train the same paths with the same seeds, so their trees are equal: `random` learns nothing, the depth does
not grow, and no training is stopped early. A strategy that learns trains other paths with another number of workers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from replaytree.bench.threads import busy_processes
from replaytree.config import SearchConfig
from replaytree.search.search import Search
from replaytree.search.turns import Progress
from replaytree.tree import tree_digest

LAYERS = 5
EPOCHS = 4


@dataclass(frozen=True, slots=True)
class WorkerRates:
    """Of each round: trainings a minute once all workers have begun, seconds until the first, and the tree's hash."""

    workers: int
    beside: int
    trainings: int
    rates: list[float]
    first_seconds: list[float]
    trees: list[str]

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)

    @property
    def text(self) -> str:
        """One line."""
        where = f"beside {self.beside} busy processes" if self.beside else "alone"
        named = ", ".join(dict.fromkeys(tree[:12] for tree in self.trees))
        return (
            f"{self.workers} worker{'s' * (self.workers > 1)} {where}: {self.rate:6.1f} trainings a minute "
            f"({', '.join(f'{rate:.1f}' for rate in self.rates)}), the first after "
            f"{statistics.median(self.first_seconds):.1f} s; trees {named}"
        )


def measure_workers(
    *, workers: Sequence[int], beside: Sequence[int], trainings: int, rounds: int, strategy: str = "random"
) -> Iterator[WorkerRates]:
    """Search digits with every number of workers in turn, each round beginning with another."""
    for busy in beside:
        found: dict[int, list[tuple[float, float, str]]] = {count: [] for count in workers}
        for number in range(rounds):
            first = number % len(workers)
            for count in [*workers[first:], *workers[:first]]:
                with busy_processes(busy):
                    found[count].append(_run(count, trainings, strategy))
        for count, runs in found.items():
            rates, seconds, trees = (list(column) for column in zip(*runs, strict=True))
            yield WorkerRates(count, busy, trainings, rates, seconds, trees)


def _run(count: int, trainings: int, strategy: str) -> tuple[float, float, str]:
    ended: list[float] = []

    def note(progress: Progress) -> None:
        ended.extend([time.monotonic()] * (progress.run_trainings - len(ended)))

    with TemporaryDirectory() as folder:
        options = {
            "dataset": "digits", "strategy": strategy, "min_layers": LAYERS, "max_layers": LAYERS, "seed": 3,
            "epochs_first": EPOCHS, "epochs_last": EPOCHS, "prune": False,
        }  # fmt: skip
        storage = f"sqlite:///{Path(folder) / 'workers.db'}"
        search = Search(name="workers", storage=storage, config=SearchConfig.from_options(options), workers=count)
        started = time.monotonic()
        search.run(trainings=trainings, on_turn=note)
        # The first trainings of all workers begin while others are still starting.
        rate = (trainings - count) * 60.0 / (ended[-1] - ended[count - 1])
        return rate, ended[0] - started, tree_digest(search.tree.engine, "workers")
