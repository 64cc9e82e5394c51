"""Which device a training runs on."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import torch

from replaytree.errors import ConfigError


def available_devices() -> list[str]:
    """The devices this machine has, best first: 'cuda:0', ..., 'mps', 'cpu'."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*devices, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def resolve_device(name: str) -> torch.device:
    """'auto' is the best device there is; raises ConfigError for one that is not there, naming those that are."""
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not any(str(device) in (there, there.split(":")[0]) for there in available):
        raise ConfigError(f"device is {name!r}, which is not here; this machine has {', '.join(available)} (--device)")
    return device


def usable_bytes(device: torch.device) -> int:
    """The memory that trainings may use: 0.8 of a GPU's, and half of a CPU's, which other programs also need.

    It is a share of all memory and not of the memory that is free now, so that a resumed search makes the same choices.
    Limits on the process (ulimit -v) and on its container count.
    """
    if device.type == "cuda":
        return int(0.8 * torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return int(0.8 * torch.mps.recommended_max_memory())
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    container = Path("/sys/fs/cgroup/memory.max")
    if container.is_file() and (text := container.read_text().strip()).isdecimal():
        limits.append(int(text))
    return min(limits) // 2
