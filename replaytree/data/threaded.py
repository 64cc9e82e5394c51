"""Work on many files, in as many threads as pay."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from replaytree.cpus import usable_cpus

# Reading a file holds Python's lock for some 60 microseconds, in several pieces, for each of which all threads queue.
# Bitmaps of 32x32 pixels took 40 microseconds in one thread; in sixteen, on two processors, 127 once and 45 twice.
SECONDS_A_THREAD = 1e-4
_PROBE_SECONDS = 0.02
_CHUNK = 128


def over_files(run: Callable[[range], None], count: int) -> None:
    """Call `run` with ranges that together are 0 to `count` - 1.

    A few are done alone at first, and what they take says how many threads do the others.
    """
    if not count:
        return
    # The first one also loads what decodes it.
    run(range(1))
    done, started, elapsed = 1, time.perf_counter(), 0.0
    while done < count and elapsed < _PROBE_SECONDS:
        run(range(done, done + 1))
        done, elapsed = done + 1, time.perf_counter() - started
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(done, count, _CHUNK)]
    threads = paying_threads(elapsed / max(1, done - 1), cpus=usable_cpus())
    if threads == 1:
        for chunk in chunks:
            run(chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, chunks))


def paying_threads(seconds: float, *, cpus: int) -> int:
    """How many threads are fastest where a file takes so many seconds: those that Python's lock does not hold up."""
    return max(1, min(cpus, int(seconds / SECONDS_A_THREAD)))
