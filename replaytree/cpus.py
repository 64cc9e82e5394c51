"""How many processors this process may use, and how its idle threads wait. Neither torch nor NumPy is imported here."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
# GNU OpenMP reads the first two, LLVM's (macOS) the third, and each only when it is loaded, with torch.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def wait_passively() -> None:
    """Let threads that wait for work sleep, unless the environment says how they wait.

    By default they spin for milliseconds. Beside another busy process that takes the processor from the thread they
    wait for: a search of digits took twelve times as long.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ.update(_WAITING)


def usable_cpus() -> int:
    """How many processors affinity and cgroups (version 1 and 2) leave to this process; at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        count = os.cpu_count() or 1
    return max(1, math.floor(min([count, *_quotas()])))


def _quotas() -> list[float]:
    """The processors granted by this process's cgroups and those around them."""
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [_quota_2(folder) for folder in _around(CGROUPS, path)]
        elif "cpu" in controllers.split(","):
            found += [_quota_1(folder) for root in ("cpu", controllers) for folder in _around(CGROUPS / root, path)]
    return [quota for quota in found if quota is not None]


def _around(root: Path, path: str) -> list[Path]:
    """A cgroup's folder and its parents' up to `root`. In a container the path may be that of the host: then root."""
    folder = root / path.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _quota_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _quota_1(folder: Path) -> float | None:
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
