"""Which device a training runs on."""

from __future__ import annotations

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
