"""Who trains in a run: this process, others on this machine, or Ray's actors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from replaytree.config import SearchConfig
from replaytree.cpus import usable_cpus
from replaytree.errors import ConfigError
from replaytree.evaluate import (
    Concurrent,
    InProcess,
    ProcessCrew,
    RayCluster,
    RayCrew,
    WorkerOptions,
    WorkerPool,
    Workers,
    connect,
    given,
    require_evaluator,
    stateful,
)
from replaytree.evaluate.workers import Ask
from replaytree.records import Evaluator
from replaytree.search.guard import Guard
from replaytree.training import Threads, resolve_device
from replaytree.training.device import numbered
from replaytree.tree import ReplayTree

_log = logging.getLogger("replaytree")


# One training in batches of 512 has 8 to 27 % of the arithmetic of an H200 (reports/benchmarks/gpu.md).
GPU_AHEAD = 4


def with_ahead(config: SearchConfig, options: WorkerOptions, *, evaluator: Evaluator | None) -> SearchConfig:
    """The configuration with the turns that are proposed ahead: several where this process trains them on a GPU.

    An evaluator of one's own may train nothing, and with weights that are passed on each training needs the last one.
    """
    several = not options and evaluator is None and config.weights.weights == "fresh"
    on_gpu = several and resolve_device(config.machine.device).type == "cuda"
    return config.with_options(ahead=GPU_AHEAD if on_gpu else 1)


def require_no_ahead(config: SearchConfig, options: WorkerOptions) -> None:
    """ConfigError where a new search has a number of turns ahead, and workers, whose number decides that."""
    if options and (config.ahead or 1) > 1:
        raise ConfigError(
            f"ahead is {config.ahead}, which is for trainings of this process, and workers have turns ahead by their "
            f"number; leave out --ahead, or --workers and --ray-address"
        )


def require_able(options: WorkerOptions, config: SearchConfig, evaluator: Evaluator | None) -> None:
    """ConfigError where workers are asked for, and what trains has a state, which one process keeps."""
    if config.strategy_options.is_differentiable:
        _require_one_supernet(options, config.strategy, evaluator)
        return
    weights = config.weights.weights
    if weights != "fresh" and evaluator is not None:
        raise ConfigError(
            f"weights are {weights}, and the evaluator is of your own, which has weights of its own; leave out one of "
            f"them"
        )
    if (options.concurrent or 1) > 1 and (weights != "fresh" or stateful(evaluator) is not None):
        why = f"with --weights {weights}" if weights != "fresh" else f"with the state of {type(evaluator).__name__}"
        raise ConfigError(
            f"concurrent is {options.concurrent}, and {why} every training goes on from the one before it; leave out "
            f"--concurrent"
        )
    if stateful(evaluator) is not None and (config.ahead or 1) > 1:
        raise ConfigError(
            f"ahead is {config.ahead}, and evaluator {type(evaluator).__name__} has a state that goes from training to "
            f"training; leave out --ahead"
        )
    if not options:
        return
    if weights != "fresh":
        raise ConfigError(
            f"{weights} weights are in one process, and workers would each have others; leave out --workers and "
            f"--ray-address, or take --weights fresh"
        )
    if stateful(evaluator) is not None:
        raise ConfigError(
            f"evaluator {type(evaluator).__name__} has a state, which one process keeps, and workers would each have "
            f"another; leave out --workers and --ray-address"
        )


def _require_one_supernet(options: WorkerOptions, strategy: str, evaluator: Evaluator | None) -> None:
    """ConfigError where something else than the supernet of this process is to train."""
    if evaluator is not None:
        raise ConfigError(
            f"strategy {strategy} learns from the gradient of a supernet that it trains, and the evaluator is of your "
            f"own; leave out evaluator=, or choose another strategy"
        )
    if options or (options.concurrent or 1) > 1:
        flags = "--workers and --ray-address" if options else "--concurrent"
        raise ConfigError(f"strategy {strategy} trains one supernet, in this process; leave out {flags}")


def cluster_for(options: WorkerOptions, *, device: str, shared_bytes: int | None) -> RayCluster | None:
    """A connection to Ray; None where the workers are processes of this machine, or there are none.

    `device` is that of the configuration. Ray gives each worker a GPU, or a share of one.
    """
    if not options:
        return None
    elsewhere = options.address is not None or options.gpus_per_worker is not None
    on_gpu = not elsewhere and resolve_device(device).type == "cuda"
    if not options.needs_ray(on_gpu=on_gpu):
        return None
    return connect(options, device=device, shared_bytes=shared_bytes)


def workers_for(
    options: WorkerOptions,
    cluster: RayCluster | None,
    config: SearchConfig,
    *,
    evaluator: Evaluator | None,
    make: Callable[..., Evaluator],
    parts: Mapping[str, object],
    tree: Callable[[], ReplayTree],
) -> Workers:
    """The workers of a run. Those that are not this process make their evaluators on their own devices.

    `make` takes a configuration, `threads` and `memory_share`, and is made of `parts`; an `evaluator` that is given
    takes its place. `tree` is where this process notes what it trains; it is asked for when a training begins.
    """
    if not options:
        return _in_process(make(config) if evaluator is None else evaluator, options, config, ask=Guard(tree).ask)
    if evaluator is not None:
        require_evaluator(evaluator)
        parts = {"evaluator": evaluator}
    count = cluster.workers if cluster is not None else options.workers
    assert count is not None, "without a cluster there is a number of workers"
    there, share = config, 1 / count
    if cluster is not None:
        there = config.with_options(device=cluster.device) if config.machine.device == "auto" else config
        share = cluster.memory_share
    own: Callable[[], Evaluator] = (
        partial(given, evaluator)
        if evaluator is not None
        else partial(make, there, threads=Threads.of(config.machine.threads).shared_by(count), memory_share=share)
    )
    crew: Any = RayCrew(cluster, own, parts=parts) if cluster is not None else ProcessCrew(count, own, parts=parts)
    if cluster is None and count > (cpus := usable_cpus()):
        _log.warning(
            "%d workers share the %d processors that this process may use, so each is slower; --workers %d is enough",
            count, cpus, cpus,
        )  # fmt: skip
    return WorkerPool(crew, count, as_they_come=options.as_they_come, timeout=options.timeout)


def _in_process(evaluator: Evaluator, options: WorkerOptions, config: SearchConfig, *, ask: Ask) -> Workers:
    """This process, with as many trainings at once as were asked for, or on a GPU as many as are proposed ahead."""
    ahead = config.ahead or 1
    if ahead == 1 and (options.concurrent or 1) == 1:
        return InProcess(evaluator, ask=ask)
    device = resolve_device(config.machine.device)
    asked = options.concurrent or (ahead if device.type == "cuda" else 1)
    if asked > ahead:
        _log.warning(
            "concurrent is %d, and the search proposes %d ahead: %s at once; begin one with --ahead %d, too, for more",
            asked, ahead, "1 trains" if ahead == 1 else f"{ahead} train", asked,
        )  # fmt: skip
    at_once = min(asked, ahead)
    if at_once == 1:
        return InProcess(evaluator, ask=ask, ahead=ahead)
    return Concurrent(evaluator, at_once=at_once, ahead=ahead, device=numbered(device), ask=ask)
