"""Everything that is to be known of a GPU, in one command that ends in time: step by step, the most needed first.

On a CPU the same steps run small (`smoke`), so that the command is known to work before there is a GPU to run it on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from replaytree.bench.gpu.bench import Bench
from replaytree.bench.gpu.stepping import split, steps, tries
from replaytree.bench.gpu.whole import concurrent, faithfulness, plain, retraining, search, trainings
from replaytree.bench.gpu.working import essentials, versions
from replaytree.errors import ConfigError
from replaytree.training import resolve_device, why_no_gpu
from replaytree.training.device import on
from replaytree.training.precision import whole_float32

# In this order, each with the seconds that it needs on a GPU by estimate: what has less is skipped.
STEPS: dict[str, tuple[Callable[[Bench], dict[str, Any]], float]] = {
    "versions": (versions, 0.0),
    "essentials": (essentials, 30.0),
    "steps": (steps, 60.0),
    "split": (split, 15.0),
    "tries": (tries, 20.0),
    "concurrent": (concurrent, 40.0),
    "trainings": (trainings, 60.0),
    "plain": (plain, 45.0),
    "search": (search, 30.0),
    "retraining": (retraining, 30.0),
    "faithfulness": (faithfulness, 120.0),
}


def measure_gpu(
    *,
    device: str = "auto",
    minutes: float = 9.0,
    smoke: bool = False,
    data_dir: str | None = None,
    only: Collection[str] = (),
    told: Callable[[str, dict[str, Any]], None] = lambda _name, _figures: None,
) -> dict[str, dict[str, Any]]:
    """The figures of all steps; `told` is given the name of each step that ends, and all figures so far.

    A step that fails says so in its place, and the next one begins. `only` these steps, where it names any. ConfigError
    for a step that is none, and where there is no GPU, unless `smoke`.
    """
    if unknown := sorted(set(only) - set(STEPS)):
        raise ConfigError(f"step is {unknown[0]!r}; it must be one of {', '.join(STEPS)} (--step)")
    deadline = time.monotonic() + 60 * minutes
    place = resolve_device(device)
    if place.type != "cuda" and not smoke:
        why = why_no_gpu() or f"device is {device!r}"
        raise ConfigError(f"there is no GPU to measure ({why}); give --smoke to run every step small, on this device")
    bench = Bench.made(place, data_dir=data_dir, small=smoke, deadline=deadline)
    figures: dict[str, dict[str, Any]] = {}
    with on(place), whole_float32(place):
        for name, (step, needed) in STEPS.items():
            if only and name not in only:
                continue
            if bench.left < (0.0 if smoke else needed):
                figures[name] = {"skipped": f"{max(0.0, bench.left):.0f} s are left"}
            else:
                figures[name] = _measured(step, bench)
            told(name, figures)
    return figures


def _measured(step: Callable[[Bench], dict[str, Any]], bench: Bench) -> dict[str, Any]:
    started = time.monotonic()
    try:
        found = step(bench)
    except Exception as error:
        # The measurements behind it may be all that this GPU is lent for.
        found = {"failed": f"{type(error).__name__}: {error}"}
    return found | {"took_seconds": time.monotonic() - started}
