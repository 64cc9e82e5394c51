"""What the choice of threads is worth: a search with the threads it chooses against one with every fixed number.

Alone and beside processes that keep a processor busy. A round runs every choice once, each in a process of its own and
beginning with another one than the round before, so that they are compared under the same load.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from replaytree.cpus import usable_cpus
from replaytree.errors import EvaluationError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ThreadTimes:
    """Wall-clock and processor seconds of `run`, of each choice in each round, beside some busy processes."""

    beside: int
    wall_seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]

    @property
    def best_fixed(self) -> str:
        """The fixed number with the least median."""
        fixed = {choice: statistics.median(taken) for choice, taken in self.wall_seconds.items() if choice != AUTO}
        return min(fixed, key=fixed.__getitem__)

    @property
    def ratio(self) -> float:
        """The median over rounds of the chosen threads' seconds by those of the best fixed number in that round."""
        best = self.wall_seconds[self.best_fixed]
        return statistics.median(own / other for own, other in zip(self.wall_seconds[AUTO], best, strict=True))

    @property
    def text(self) -> str:
        """One line a choice, then the ratio."""
        lines = [
            f"  {choice:>4} threads  median {statistics.median(taken):6.1f} s  "
            f"({', '.join(f'{seconds:.1f}' for seconds in taken)})  "
            f"processor {statistics.median(self.cpu_seconds[choice]):.1f} s"
            for choice, taken in self.wall_seconds.items()
        ]
        where = f"beside {self.beside} busy processes" if self.beside else "alone"
        return "\n".join([f"{where}:", *lines, f"  auto is {self.ratio:.2f} times the best fixed ({self.best_fixed})"])


def measure_threads(
    *, trainings: int, rounds: int, beside: Sequence[int], most: int | None = None, dataset: str = "digits"
) -> Iterator[ThreadTimes]:
    """Search the data set with the chosen and with 1 to `most` threads, beside so many busy processes in turn."""
    choices = [AUTO, *(str(number) for number in range(1, (most or usable_cpus()) + 1))]
    for busy in beside:
        wall: dict[str, list[float]] = {choice: [] for choice in choices}
        cpu: dict[str, list[float]] = {choice: [] for choice in choices}
        for number in range(rounds):
            first = number % len(choices)
            for choice in choices[first:] + choices[:first]:
                with busy_processes(busy):
                    taken = _search_seconds(choice, dataset, trainings)
                wall[choice].append(taken[0])
                cpu[choice].append(taken[1])
        yield ThreadTimes(busy, wall, cpu)


def _search_seconds(choice: str, dataset: str, trainings: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "replaytree.cli", "run", "--dataset", dataset, "--seed", "3", "--quiet",
            "--trainings", str(trainings), "--storage", f"sqlite:///{Path(folder) / 'threads.db'}",
        ]  # fmt: skip
        command += [] if choice == AUTO else ["--threads", choice]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        before, started = os.times(), time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        wall, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise EvaluationError(f"the search with {choice} threads failed: {done.stderr.strip()[-300:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute for nothing meanwhile; they end with this one, too."""
    code = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(1_000_000))"
    # Their own processor time counts with the children's only once they are waited for, which is after the search.
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
