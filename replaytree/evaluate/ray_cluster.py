"""Connecting to Ray: a cluster that runs, or one of this machine alone; and how many workers it has room for."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from replaytree.errors import ConfigError
from replaytree.evaluate.worker_options import LOCAL, WorkerOptions

# Ray counts in ten-thousandths of a GPU.
GPU_PARTS = 10_000
# Within this time, what listens at an address has taken the connection.
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A connection to Ray, and the workers that a search has there: how many, and which share of a GPU each.

    `memory_share` is what each may use of the memory of its GPU, or of its machine where it has no GPU.
    """

    workers: int
    gpus_per_worker: float
    has: str
    memory_share: float = 1.0

    @property
    def device(self) -> str:
        """Where each worker trains: Ray shows it its own GPUs only."""
        return "cuda" if self.gpus_per_worker else "cpu"


def connect(options: WorkerOptions, *, device: str = "auto", shared_bytes: int | None = None) -> RayCluster:
    """Connect, unless this process is connected already, and see that the workers fit.

    `device` is that of the configuration: `cpu` needs no GPU. `shared_bytes` is the size of what the object store will
    hold, if known. Raises ConfigError where Ray is not installed, cannot be reached or is too small.
    """
    ray = import_ray()
    if device.startswith("cuda:"):
        raise ConfigError(f"device is {device!r}, but Ray gives each worker its GPU; write --device cuda")
    if not ray.is_initialized():
        _init(ray, options, shared_bytes)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return fitting(options, nodes, wants_gpu={"auto": None, "cuda": True}.get(device, False))


def import_ray() -> Any:
    """The module; ConfigError with the command that installs it where it is missing."""
    # Ray reads these when it is imported. Our own log reports a worker that dies, in one line.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    # How often Ray asks a head that is silent, each time for 40 seconds; 20 times by default.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "Ray is not installed; pip install 'replaytree[ray]', or leave out --workers and --ray-address"
        ) from error
    return ray


def capacity(nodes: Sequence[Mapping[str, float]], gpus_per_worker: float) -> int:
    """How many workers of one CPU and so many GPUs fit: a worker lies on one node, a fraction on one GPU."""
    total = 0
    for node in nodes:
        room = math.floor(node.get("CPU", 0))
        if gpus_per_worker:
            gpus = math.floor(node.get("GPU", 0))
            part = round(gpus_per_worker * GPU_PARTS)
            room = min(room, gpus * (GPU_PARTS // part) if part <= GPU_PARTS else gpus * GPU_PARTS // part)
        total += room
    return total


def one_line(error: object) -> str:
    """Ray's messages are long: the first 200 characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]} ..."


def fitting(options: WorkerOptions, nodes: Sequence[Mapping[str, float]], *, wants_gpu: bool | None) -> RayCluster:
    """The cluster for the options; `wants_gpu` None: if there are any."""
    cpus, gpus = (math.floor(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
    has = f"{cpus} CPUs and {gpus or 'no'} GPUs"
    share = options.gpus_per_worker
    if (share or wants_gpu) and not gpus:
        raise ConfigError(
            f"Ray has no GPU for its workers: the cluster has {has}; leave out --gpus-per-worker and --device, or give "
            f"the --ray-address of a cluster with GPUs"
        )
    if wants_gpu is False and share:
        raise ConfigError(f"gpus_per_worker is {share:g}, and the device has none of them; give one of the two")
    workers = options.workers or (gpus if gpus and wants_gpu is not False else cpus)
    if share is None:
        share = 0.0
        if gpus and wants_gpu is not False:
            share = (GPU_PARTS // math.ceil(workers / gpus)) / GPU_PARTS
    elif options.workers is None:
        workers = capacity(nodes, share)
    room = capacity(nodes, share)
    if workers > room or workers < 1:
        raise ConfigError(
            f"{workers} workers with 1 CPU and {share:g} GPUs each do not fit: the cluster has {has}, room for {room}; "
            f"lower --workers{' or --gpus-per-worker' if share else ''}"
        )
    # Ray may put as many on one machine as that has CPUs.
    beside = min(workers, max(math.floor(node.get("CPU", 0)) for node in nodes))
    return RayCluster(workers, share, has, memory_share=min(1.0, share) if share else 1 / beside)


def _init(ray: Any, options: WorkerOptions, shared_bytes: int | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_signal_handlers():
        try:
            if options.address not in (None, LOCAL):
                _require_answer(options.address)
                ray.init(address=options.address, **quiet)
                return
            ray.init(
                address="local",
                num_cpus=options.workers,
                include_dashboard=False,
                # Ray's least is 75 MiB; its default is a third of the memory, more than /dev/shm has in a container.
                object_store_memory=None if shared_bytes is None else 2 * shared_bytes + 100 * 2**20,
                **quiet,
            )
        except (RuntimeError, ValueError, OSError, OverflowError, ray.exceptions.RayError) as error:
            if options.address in (None, LOCAL):
                raise ConfigError(f"Ray cannot be started here ({one_line(error)}); leave out --workers") from error
            raise ConfigError(
                f"Ray at {options.address!r} cannot be reached ({one_line(error)}); start one with `ray start --head`, "
                f"set RAY_AUTH_MODE=token if it wants a token, or leave out --ray-address"
            ) from error


def _require_answer(address: str) -> None:
    """OSError where nothing listens at HOST:PORT. Ray itself would wait for minutes, and complain all the time."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep our signal handlers: those of ray.init exit at once on SIGTERM, and a search saves first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
