"""The machine and versions of a measurement."""

from __future__ import annotations

import os
import platform

import torch

from replaytree.versions import version_of


def machine() -> dict[str, str]:
    """Processor, cores, device and versions, as plain strings."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu (not measured on a GPU)",
        "python": platform.python_version(),
        **{name: version_of(name) for name in ("replaytree", "torch", "sqlalchemy")},
    }
