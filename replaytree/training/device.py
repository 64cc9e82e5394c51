"""Which device a training runs on."""

from __future__ import annotations

import logging
import os
import resource
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from replaytree.errors import ConfigError

_log = logging.getLogger(__name__)


def available_devices() -> list[str]:
    """The devices this machine has, best first: 'cuda:0', ..., 'mps', 'cpu'."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*devices, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def resolve_device(name: str) -> torch.device:
    """'auto' is the best device there is; raises ConfigError for one that is not there, naming those that are.

    A GPU that is there and cannot be used (a driver too old for this build of torch) is an error where it is asked for,
    and a warning where 'auto' takes the CPU instead.
    """
    available = available_devices()
    why = why_no_gpu()
    if name == "auto":
        if available[0] == "cpu" and why and not _no_card(why):
            _log.warning("no GPU can be used (%s); trainings run on the CPU", why)
        return torch.device(available[0])
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not any(str(device) in (there, there.split(":")[0]) for there in available):
        reason = f" ({why})" if device is not None and device.type == "cuda" and why else ""
        raise ConfigError(
            f"device is {name!r}, which is not here{reason}; this machine has {', '.join(available)} (--device)"
        )
    if device.type == "cuda" and (lacking := _why_no_code(device)):
        raise ConfigError(f"device is {name!r}, which cannot be used: {lacking} (--device)")
    return device


def why_no_gpu() -> str:
    """Why torch finds no CUDA device, in a sentence; empty where it finds one."""
    if torch.cuda.device_count():
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this build of torch is for CPUs only"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # RuntimeError, AssertionError, DeferredCudaCallError
        return str(error).split(". ")[0].split("\n")[0].rstrip(".")
    return "CUDA_VISIBLE_DEVICES names none" if "CUDA_VISIBLE_DEVICES" in os.environ else "torch counts 0 devices"


def _no_card(why: str) -> bool:
    return why.startswith(("Found no NVIDIA driver", "this build", "CUDA_VISIBLE_DEVICES"))


def _why_no_code(device: torch.device) -> str:
    """What the build of torch lacks for this GPU; empty where it has machine code, or code to translate (PTX).

    Machine code runs on GPUs of the same major and no lower minor capability, PTX on all later ones.
    """
    if torch.version.hip is not None:
        return ""
    built = [name.split("_") for name in torch.cuda.get_arch_list()]
    codes = [(kind, divmod(int("".join(filter(str.isdigit, number))), 10)) for kind, number in built]
    own = torch.cuda.get_device_capability(device)
    fits = any(code <= own and (kind == "compute" or code[0] == own[0]) for kind, code in codes)
    if fits or not codes:
        return ""
    lowest = min(code for _, code in codes)
    return (
        f"torch {torch.__version__} has no code for {torch.cuda.get_device_name(device)} (capability "
        f"{own[0]}.{own[1]}; it begins at {lowest[0]}.{lowest[1]}); install a build of torch that has"
    )


def on(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current one meanwhile: streams, graphs and caches are those of the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def numbered(device: torch.device) -> torch.device:
    """The device with the number of the GPU, which `cuda` alone lacks: streams and generators are kept by it."""
    return torch.device("cuda", torch.cuda.current_device()) if str(device) == "cuda" else device


def usable_bytes(device: torch.device, *, share: float = 1.0) -> int:
    """The memory that trainings may use: 0.8 of a GPU's, and half of a CPU's, which other programs also need.

    `share` of that, where several workers have a part each of a GPU or a machine.

    It is a share of all memory and not of the memory that is free now, so that a resumed search makes the same choices.
    Limits on the process (ulimit -v) and on its container count.
    """
    if device.type == "cuda":
        return int(share * 0.8 * torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return int(share * 0.8 * torch.mps.recommended_max_memory())
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    container = Path("/sys/fs/cgroup/memory.max")
    if container.is_file() and (text := container.read_text().strip()).isdecimal():
        limits.append(int(text))
    return int(share * (min(limits) // 2))
