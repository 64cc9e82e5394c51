"""Workers on Ray's actors: for GPUs, and for more than one machine.

The evaluator and its data are stored once, in Ray's object store. Workers on one machine read the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy
import torch

from replaytree.config import Budget
from replaytree.errors import EvaluationError, WorkersLost
from replaytree.evaluate import ray_worker
from replaytree.evaluate.parcel import require_packed
from replaytree.evaluate.pool import Began, Died, Outcome, logger
from replaytree.evaluate.ray_cluster import RayCluster, import_ray, one_line
from replaytree.evaluate.ray_daemon import DAEMON_ENDED, RayDaemon
from replaytree.records import Evaluator, Path


@dataclass(frozen=True, slots=True, eq=False)
class _Actor:
    handle: Any
    number: int


class RayCrew:
    """Actors of a cluster. It is a `Crew`.

    `make` gives a worker its evaluator, on the worker; `parts` are what it is made of, by the names that an error gives
    them. ConfigError where it cannot be sent there, WorkersLost where Ray itself has died.
    """

    def __init__(self, cluster: RayCluster, make: Callable[[], Evaluator], *, parts: Mapping[str, object]) -> None:
        self._ray = import_ray()
        self._cluster = cluster
        self._ray.cloudpickle.register_pickle_by_value(ray_worker)
        self._class = self._ray.remote(ray_worker.Worker)
        self._make = self._kept(make, parts)
        # One worker trains with as many threads as this process would, so its sums are the same to the last bit.
        self._threads = max(1, torch.get_num_threads() // cluster.workers)
        self._running: dict[Any, _Actor] = {}
        self._begun: set[_Actor] = set()
        self._actors: set[_Actor] = set()
        self._daemon: RayDaemon | None = None

    def _kept(self, make: Callable[[], Evaluator], parts: Mapping[str, object]) -> Any:
        """A reference to `make` in the object store; the keeper, an actor beside this process, owns it.

        Where the daemon here ends, Ray tries to recover what this process owns, and dies of that at once.
        """
        ray = self._ray
        pickled, buffers = require_packed(make, parts=parts, pickler=ray.cloudpickle.CloudPickler)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._keeper = self._class.options(num_cpus=0, scheduling_strategy=here).remote()
        arrays = [numpy.frombuffer(buffer, numpy.uint8) for buffer in buffers]
        return ray.get(self._keeper.keep.remote([pickled, *arrays]))

    def begin(self, number: int) -> _Actor:
        """An actor that makes its evaluator, as soon as the cluster has room for it."""
        if self._daemon is None:
            self._daemon = RayDaemon(self._ray)
        with self._daemon.calling():
            handle = self._class.options(num_cpus=1, num_gpus=self._cluster.gpus_per_worker).remote()
            actor = _Actor(handle, number)
            self._running[handle.start.remote(version("replaytree"), [self._make], self._threads)] = actor
        self._actors.add(actor)
        return actor

    def ask(self, worker: _Actor, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Call the actor."""
        assert self._daemon is not None, "a worker has begun"
        with self._daemon.calling():
            self._running[worker.handle.evaluate.remote(paths, budget, seed)] = worker

    def wait(self, seconds: float) -> tuple[_Actor, Outcome] | None:
        """The result of the first call that ends."""
        assert self._daemon is not None, "a worker has begun"
        with self._daemon.calling():
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
            self._daemon.require()
            if not ready:
                return None
            worker = self._running.pop(ready[0])
            return worker, self._outcome(ready[0], worker)

    def _outcome(self, ref: Any, worker: _Actor) -> Outcome:
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(ref)
        except errors.RayTaskError as error:
            cause: Exception = error.cause
            return cause
        except errors.RayActorError as error:
            self._require_node()
            return Died(_reason(error))
        except errors.RayError as error:
            raise WorkersLost(f"Ray failed ({one_line(error)})") from error
        if worker in self._begun:
            evaluations: Outcome = answer
            return evaluations
        self._begun.add(worker)
        return _began(worker, answer)

    def _require_node(self) -> None:
        """Raise WorkersLost where the cluster has lost this machine, and therefore its workers."""
        here = self._ray.get_runtime_context().get_node_id()
        if not any(node["Alive"] for node in self._ray.nodes() if node["NodeID"] == here):
            raise WorkersLost(DAEMON_ENDED)

    def end(self, worker: _Actor) -> None:
        """Kill the actor."""
        assert self._daemon is not None, "a worker has begun"
        self._running = {ref: other for ref, other in self._running.items() if other is not worker}
        self._actors.discard(worker)
        with self._daemon.calling():
            self._ray.kill(worker.handle)

    def close(self) -> None:
        """End the actors; the connection to Ray lasts as long as this process."""
        if self._daemon is not None:
            with suppress(WorkersLost), self._daemon.calling():
                for actor in self._actors:
                    self._ray.kill(actor.handle)
            self._daemon.close()
            self._daemon = None
        for each in (self._running, self._begun, self._actors):
            each.clear()

    def missing(self) -> str:
        """What the cluster has, and what of it is free."""
        free = {kind: self._ray.available_resources().get(kind, 0) for kind in ("CPU", "GPU")}
        return f"the cluster has {self._cluster.has}, of which {free['CPU']:g} CPUs and {free['GPU']:g} GPUs are free"


def _began(worker: _Actor, found: Mapping[str, str]) -> Began:
    """EvaluationError where the worker's machine has another version of replaytree."""
    name, here = f"worker {worker.number} ({found['place']})", version("replaytree")
    if found["replaytree"] != here:
        raise EvaluationError(
            f"{name} has replaytree {found['replaytree']}, this process {here}; install the same version on every "
            f"machine of the cluster"
        )
    if found["torch"] != version("torch"):
        logger.warning("%s has torch %s, this process %s", name, found["torch"], version("torch"))
    return Began(found["place"])


def _reason(error: Exception) -> str:
    """Ray's reason for a worker's death, without its advice."""
    detail = str(error).splitlines()[-1].split("Worker exit detail: ")[-1]
    return one_line(detail.split(" Some common causes include")[0])
