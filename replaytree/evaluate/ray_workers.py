"""Training on Ray actors. An actor takes a turn as soon as it is free, and one that dies is replaced.

The evaluator and its images are stored once, in Ray's object store. Workers on one machine read the same memory.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy
import torch

from replaytree.config import Budget
from replaytree.data import Data, ImageData, TextData
from replaytree.errors import ConfigError, EvaluationError, WorkersLost
from replaytree.evaluate import ray_worker
from replaytree.evaluate.ray_cluster import RayCluster, import_ray, one_line
from replaytree.evaluate.ray_daemon import DAEMON_ENDED, RayDaemon
from replaytree.records import Evaluator, Path, PathEvaluation

MAX_DEATHS = 3
# How long next() waits at most, so that a signal or a limit is noticed.
WAIT_SECONDS = 0.5
# A worker starts in about 5 seconds. If it takes this long, other jobs hold the resources that it needs.
PATIENCE_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """Paths of one turn that go to one worker; `first` is the place of the first of them in the turn."""

    number: int
    first: int
    paths: Sequence[Path]
    budget: Budget
    seed: int
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class _Actor:
    handle: Any
    number: int
    place: str = "not begun"
    asked: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return f"worker {self.number} ({self.place})"


class RayWorkers:
    """As many actors as the cluster was asked for; they live from the first turn of a run to its end.

    `make` gives a worker its evaluator, on the worker. ConfigError where it cannot be sent there, EvaluationError where
    workers cannot begin, WorkersLost where Ray itself has died.
    """

    def __init__(self, cluster: RayCluster, make: Callable[[], Evaluator]) -> None:
        self._ray = import_ray()
        self._cluster = cluster
        self._ray.cloudpickle.register_pickle_by_value(ray_worker)
        self._class = self._ray.remote(ray_worker.Worker)
        for kind in (ImageData, TextData):
            self._ray.util.register_serializer(kind, serializer=_to_arrays, deserializer=partial(_from_arrays, kind))
        try:
            self._make = self._kept(make)
        except Exception as error:  # what cannot be pickled may raise anything
            why = one_line(error.__cause__ or error)
            raise ConfigError(
                f"the evaluator, its space or its data cannot be sent to Ray workers ({why}); make what cannot be "
                f"pickled inside evaluate(), or leave out workers"
            ) from error
        # One worker trains with as many threads as this process would, so its sums are the same to the last bit.
        self._threads = max(1, torch.get_num_threads() // cluster.workers)
        self._turns: dict[int, list[PathEvaluation | None]] = {}
        self._queue: deque[_Job] = deque()
        self._idle: list[_Actor] = []
        self._running: dict[Any, tuple[_Actor, _Job | None]] = {}
        self.ahead, self.in_order = cluster.workers, False
        self._actors = self._false_starts = 0
        self._complained = False
        self._daemon: RayDaemon | None = None

    def _kept(self, make: Callable[[], Evaluator]) -> Any:
        """A reference to `make` in the object store; the keeper, an actor beside this process, owns it.

        Where the daemon here ends, Ray tries to recover what this process owns, and dies of that at once.
        """
        ray = self._ray
        buffers: list[Any] = []
        parts = [ray.cloudpickle.dumps(make, protocol=5, buffer_callback=buffers.append)]
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._keeper = self._class.options(num_cpus=0, scheduling_strategy=here).remote()
        return ray.get(self._keeper.keep.remote(parts + [numpy.frombuffer(buffer, numpy.uint8) for buffer in buffers]))

    @property
    def free(self) -> int:
        """Workers without a turn, whether they have begun or not."""
        return self._cluster.workers - len(self._turns)

    def submit(self, number: int, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Give a turn to a free worker, or to one that is started for it."""
        assert self.free > 0, "every worker has a turn"
        self._turns[number] = [None] * len(paths)
        self._queue.append(_Job(number, 0, tuple(paths), budget, seed))
        if self._daemon is None:
            self._daemon = RayDaemon(self._ray)
        with self._daemon.calling():
            self._hand_out()

    def next(self, *, wait: bool = True) -> tuple[int, Sequence[PathEvaluation]] | None:
        """The first turn that has ended, or None."""
        if self._daemon is None:
            return None
        with self._daemon.calling():
            while self._running:
                ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=WAIT_SECONDS if wait else 0)
                self._daemon.require()
                if not ready:
                    self._complain()
                    break
                ended = self._take(ready[0])
                self._hand_out()
                if ended is not None:
                    return ended
        return None

    def close(self) -> None:
        """End the actors; the connection to Ray lasts as long as this process."""
        if self._daemon is not None:
            with suppress(WorkersLost), self._daemon.calling():
                for actor in [*self._idle, *(actor for actor, _ in self._running.values())]:
                    self._ray.kill(actor.handle)
            self._daemon.close()
            self._daemon = None
        self._turns.clear()
        self._queue.clear()
        self._idle.clear()
        self._running.clear()

    def _hand_out(self) -> None:
        """Give queued jobs to idle workers, and start workers for the rest."""
        while self._queue and self._idle:
            actor, job = self._idle.pop(), self._queue.popleft()
            ref = actor.handle.evaluate.remote(job.paths, job.budget, job.seed)
            self._running[ref] = actor, job
        starting = sum(job is None for _, job in self._running.values())
        room = self._cluster.workers - len(self._running)
        for _ in range(min(len(self._queue) - starting, room)):
            handle = self._class.options(num_cpus=1, num_gpus=self._cluster.gpus_per_worker).remote()
            ref = handle.start.remote(version("replaytree"), [self._make], self._threads)
            self._running[ref] = _Actor(handle, self._actors), None
            self._actors += 1

    def _take(self, ref: Any) -> tuple[int, Sequence[PathEvaluation]] | None:
        """Take in the result of a call, which may end a turn."""
        actor, job = self._running.pop(ref)
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(ref)
        except errors.RayTaskError as error:
            self._ray.kill(actor.handle)
            if job is not None:
                raise error.cause from error
            raise EvaluationError(f"{actor} cannot begin: {type(error.cause).__name__}: {error.cause}") from error
        except errors.RayActorError as error:
            self._require_node()
            return self._died(actor, job, _reason(error))
        except errors.RayError as error:
            raise WorkersLost(f"Ray failed ({one_line(error)})") from error
        if job is None:
            self._began(actor, answer)
            return None
        self._idle.append(actor)
        return self._done(job, answer)

    def _require_node(self) -> None:
        """Raise WorkersLost where the cluster has lost this machine, and therefore its workers."""
        assert self._daemon is not None
        here = self._ray.get_runtime_context().get_node_id()
        if not any(node["Alive"] for node in self._ray.nodes() if node["NodeID"] == here):
            raise WorkersLost(DAEMON_ENDED)

    def _began(self, actor: _Actor, found: dict[str, str]) -> None:
        actor = replace(actor, place=found["place"])
        here = version("replaytree")
        if found["replaytree"] != here:
            self._ray.kill(actor.handle)
            raise EvaluationError(
                f"{actor} has replaytree {found['replaytree']}, this process {here}; install the same version on every "
                f"machine of the cluster"
            )
        if found["torch"] != version("torch"):
            logger.warning("%s has torch %s, this process %s", actor, found["torch"], version("torch"))
        logger.info("%s has begun: replaytree %s, torch %s", actor, found["replaytree"], found["torch"])
        self._false_starts = 0
        self._idle.append(actor)

    def _complain(self) -> None:
        """Warn once that Ray does not provide the resources that were asked for."""
        oldest = min((actor.asked for actor, job in self._running.values() if job is None), default=None)
        if oldest is not None and not self._complained and time.monotonic() - oldest > PATIENCE_SECONDS:
            self._complained = True
            free = {kind: self._ray.available_resources().get(kind, 0) for kind in ("CPU", "GPU")}
            logger.warning(
                "still waiting for Ray to begin a worker: the cluster has %s, of which %g CPUs and %g GPUs are free",
                self._cluster.has, free["CPU"], free["GPU"],
            )  # fmt: skip

    def _done(self, job: _Job, evaluations: Sequence[PathEvaluation]) -> tuple[int, Sequence[PathEvaluation]] | None:
        turn = self._turns[job.number]
        turn[job.first : job.first + len(job.paths)] = evaluations
        ended = [evaluation for evaluation in turn if evaluation is not None]
        if len(ended) < len(turn):
            return None
        del self._turns[job.number]
        return job.number, ended

    def _died(self, actor: _Actor, job: _Job | None, text: str) -> tuple[int, Sequence[PathEvaluation]] | None:
        """Replace a worker. Its paths go to others, each by itself, so that only the path at fault fails."""
        self._ray.kill(actor.handle)
        if job is None:
            self._false_starts += 1
            if self._false_starts == MAX_DEATHS:
                raise EvaluationError(f"{MAX_DEATHS} workers in a row ended before they began; the last: {text}")
            logger.warning("%s ended before it began; another is started: %s", actor, text)
            return None
        deaths = job.deaths + 1
        named = ", ".join(".".join(map(str, path)) for path in job.paths)
        if deaths == MAX_DEATHS:
            logger.error("%s died training %s, the %d. to do so: recorded as an error: %s", actor, named, deaths, text)
            failure = f"training it ended {deaths} workers; the last: {text}"
            return self._done(job, [PathEvaluation((), failure="error", failure_text=failure)] * len(job.paths))
        logger.warning("%s died training %s (%d of %d); another takes it: %s", actor, named, deaths, MAX_DEATHS, text)
        parts = [
            replace(job, first=job.first + n, paths=(path,), seed=job.seed + n, deaths=deaths)
            for n, path in enumerate(job.paths)
        ]
        self._queue.extendleft(reversed(parts))
        return None


def _reason(error: Exception) -> str:
    """Ray's reason for a worker's death, without its advice."""
    detail = str(error).splitlines()[-1].split("Worker exit detail: ")[-1]
    return one_line(detail.split(" Some common causes include")[0])


def _to_arrays(data: Data) -> dict[str, Any]:
    """Tensors as arrays: Ray shares the memory of arrays, and copies that of tensors."""
    values = {field.name: getattr(data, field.name) for field in fields(data)}
    return {name: value.cpu().numpy() if torch.is_tensor(value) else value for name, value in values.items()}


def _from_arrays(kind: Callable[..., Data], values: dict[str, Any]) -> Data:
    """The inverse; the tensors are views of read-only memory, and nothing may write to them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(value) for name, value in values.items() if hasattr(value, "__array__")}
    return kind(**values | tensors)
