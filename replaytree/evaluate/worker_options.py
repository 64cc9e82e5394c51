"""Where the trainings of a run happen: in this process, one or several at once, in others here, or on Ray."""

from __future__ import annotations

import math
from dataclasses import dataclass

from replaytree.border import number
from replaytree.errors import ConfigError

# The address of a cluster of this machine alone, which ends with the process.
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How many workers a run has, and where. This is not stored: each run says it anew.

    `workers` None: this process alone, or with an `address` as many as the Ray cluster there has CPUs or GPUs. The
    address is `auto`, HOST:PORT, or `local` for a cluster of this machine alone. `gpus_per_worker` None: an equal share
    of the GPUs there are; it may be a fraction. Ray is for GPUs and for several machines; other workers are processes
    on this machine.

    Results are taken in the order of proposal, so that seed and number of workers decide the tree, or `as_they_come`.
    A training that takes more than `timeout` seconds is an error.

    `concurrent`: how many trainings of this process go on at once; None: on a GPU as many as are proposed ahead.
    """

    workers: int | None = None
    address: str | None = None
    gpus_per_worker: float | None = None
    as_they_come: bool = False
    timeout: float | None = None
    concurrent: int | None = None

    def __post_init__(self) -> None:
        workers, gpus = self.workers, self.gpus_per_worker
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ConfigError(f"workers is {workers!r}; it must be a whole number of at least 1 (--workers)")
        at_once = self.concurrent
        if at_once is not None and (isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1):
            raise ConfigError(f"concurrent is {at_once!r}; it must be a whole number of at least 1 (--concurrent)")
        if at_once is not None and self:
            raise ConfigError(
                f"concurrent is {at_once}, which is for trainings of this process, and others are to train; leave out "
                f"--concurrent, or --workers and --ray-address"
            )
        if gpus is not None and not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or float(gpus).is_integer())):
            raise ConfigError(
                f"gpus_per_worker is {gpus!r}; it must be a fraction up to 1, or a whole number (--gpus-per-worker)"
            )
        if self.timeout is not None and not number("timeout_per_training", self.timeout, error=ConfigError) > 0:
            raise ConfigError(
                f"timeout_per_training is {self.timeout}; it must be over 0 seconds (--timeout-per-training)"
            )
        given = {
            "gpus_per_worker": gpus,
            "as_they_come": self.as_they_come or None,
            "timeout_per_training": self.timeout,
        }
        lonely = next((name for name, value in given.items() if value is not None), None)
        if lonely is not None and not self:
            raise ConfigError(f"{lonely} is for workers; give --workers or --ray-address, too")

    def __bool__(self) -> bool:
        """Whether others than this process train."""
        return self.workers is not None or self.address is not None

    def needs_ray(self, *, on_gpu: bool) -> bool:
        """Whether the workers are Ray's; `on_gpu`: trainings are to run on the GPUs of this machine."""
        return bool(self) and (self.address is not None or self.gpus_per_worker is not None or on_gpu)
