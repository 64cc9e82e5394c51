"""The machine and versions of a measurement."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch


def machine() -> dict[str, str]:
    """Processor, cores, device and versions, as plain strings."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu (not measured on a GPU)",
        "python": platform.python_version(),
        **{name: _version(name) for name in ("replaytree", "torch", "sqlalchemy")},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a checkout on the path, as on a machine that is lent for minutes
        return "not installed"
