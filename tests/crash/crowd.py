"""Several processes, each with a search of its own, write into one SQLite file at once.

    python tests/crash/crowd.py --processes 8 --seconds 120

Nothing may fail, `database is locked` must reach nobody, and in the end the database must agree with itself. Exit code
1 where that is not so.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

import replaytree
from replaytree.records import PathEvaluation
from replaytree.tree import check, list_searches, open_engine


class Instant:
    """Answers at once, so that the processes do little but write."""

    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([1.0 / (2 + action) for action in path]) for path in paths]


def drive(storage: str, number: int, seconds: float, gate: object, outcomes: object) -> None:
    """Search for some seconds; what went wrong, if anything did, or how long the slowest turn took."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING, format=f"process {number}: %(message)s")
    slowest, last = 0.0, time.monotonic()

    def on_turn(progress: replaytree.Progress) -> None:
        nonlocal slowest, last
        slowest, last = max(slowest, time.monotonic() - last), time.monotonic()

    try:
        gate.wait()
        search = replaytree.Search(
            space=replaytree.LabelSpace(list("abcdef"), max_layers=15),
            evaluator=Instant(),
            storage=storage,
            name=f"search {number}",
            strategy="random",
            min_layers=15,
            seed=number,
        )
        last = time.monotonic()
        search.run(hours=seconds / 3600.0, on_turn=on_turn)
        outcomes.put((number, slowest, ""))
    except BaseException:
        outcomes.put((number, slowest, traceback.format_exc()))


def main(arguments: list[str] | None = None) -> int:
    """Start them together, wait, count; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args(arguments)
    forking = multiprocessing.get_context("fork")
    gate, outcomes = forking.Barrier(options.processes), forking.Queue()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'crowd.db'}"
        crowd = [
            forking.Process(target=drive, args=(storage, number, options.seconds, gate, outcomes))
            for number in range(options.processes)
        ]
        for process in crowd:
            process.start()
        ended = [outcomes.get() for _ in crowd]
        for process in crowd:
            process.join()
        engine = open_engine(storage)
        searches, problems = list_searches(engine), check(engine)
        engine.dispose()
    failures = [(number, text) for number, _, text in ended if text]
    counts = [info.episode_count for info in searches]
    print(
        f"{options.processes} processes, {options.seconds:.0f} s: {sum(counts)} episodes ({min(counts, default=0)} to"
    )
    print(f"{max(counts, default=0)} a process), slowest turn {max(slow for _, slow, _ in ended):.2f} s")
    print(f"processes that failed: {len(failures)}; contradictions: {len(problems)}")
    for number, text in failures:
        print(f"process {number}: {text}")
    return int(bool(failures or problems) or len(searches) != options.processes)


if __name__ == "__main__":
    sys.exit(main())
