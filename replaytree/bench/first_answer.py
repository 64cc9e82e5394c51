"""Seconds from `replaytree run` to its first good prefix, each run in a fresh process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from replaytree.bench.threads import busy_processes
from replaytree.errors import EvaluationError

_LINE = re.compile(r"best ([\d.]+) .*?(\d+)/\d+ trainings")


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """Seconds since the command: until it says what it searches, until the first training, until the accuracy.

    `answered_seconds` and `trainings` are None where the run ended without.
    """

    seed: int
    beside: int
    accuracy: float
    ready_seconds: float
    trained_seconds: float
    answered_seconds: float | None
    trainings: int | None

    @property
    def text(self) -> str:
        """One line."""
        where = f"beside {self.beside} busy processes" if self.beside else "alone"
        begun = f"ready after {self.ready_seconds:.1f} s, first training after {self.trained_seconds:.1f} s"
        if self.answered_seconds is None:
            return f"seed {self.seed} {where}: {begun}, never {self.accuracy:g}"
        after = f"{self.trainings} training{'s' * (self.trainings != 1)}"
        return f"seed {self.seed} {where}: {begun}, {self.accuracy:g} after {self.answered_seconds:.1f} s ({after})"


def measure_first_answers(*, seeds: Sequence[int], beside: Sequence[int], accuracy: float) -> Iterator[FirstAnswer]:
    """Run `replaytree run` with its defaults, on digits, until it has found the accuracy."""
    for busy in beside:
        for seed in seeds:
            with busy_processes(busy):
                yield _first_answer(seed, busy, accuracy)


def _first_answer(seed: int, beside: int, accuracy: float) -> FirstAnswer:
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'first.db'}"
        command = [sys.executable, "-m", "replaytree", "run", "--seed", str(seed), "--storage", storage]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        started = time.perf_counter()
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as run:
            assert run.stdout is not None, "it is a pipe"
            seconds: list[float] = []
            try:
                for line in run.stdout:
                    found = _LINE.match(line)
                    if len(seconds) < 2:
                        seconds.append(time.perf_counter() - started)
                    if found and float(found[1]) >= accuracy:
                        answered = time.perf_counter() - started
                        return FirstAnswer(seed, beside, accuracy, seconds[0], seconds[1], answered, int(found[2]))
            finally:
                run.kill()
            if len(seconds) < 2:
                assert run.stderr is not None, "it is a pipe"
                raise EvaluationError(f"the search with seed {seed} failed: {run.stderr.read().strip()[-300:]}")
            return FirstAnswer(seed, beside, accuracy, seconds[0], seconds[1], None, None)
