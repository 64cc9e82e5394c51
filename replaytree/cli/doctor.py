"""What this machine has for a search, and what is missing, with the command that fixes it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import torch

from replaytree.config import command, storage_url
from replaytree.data import TEXTS, data_folder, found, texts_found
from replaytree.errors import StorageError
from replaytree.training import Precision, Threads, available_devices, why_no_gpu
from replaytree.training.fusing import can_fuse
from replaytree.training.precision import cpu_has_bfloat16
from replaytree.tree import head_revision, list_searches, lost_states, open_engine, shown
from replaytree.versions import EXTRAS, NOT_INSTALLED, installing, joined, version_of

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `fix` is what to do where something is missing, else ''."""

    what: str
    good: bool
    found: str
    fix: str = ""


def examine(*, storage: str | None = None, data_dir: str | None = None) -> list[Finding]:
    """Look at packages, devices, memory, disk, database and data sets; changes nothing."""
    return [*_packages(), *_devices(), _memory(), _database(storage), *_weights(storage), *_data_sets(data_dir)]


def _packages() -> list[Finding]:
    findings = [Finding(name, True, version_of(name)) for name in ("replaytree", "torch", "torchvision", "sqlalchemy")]
    return [*findings, *map(_extra, EXTRAS)]


def _extra(name: str) -> Finding:
    """The packages of an extra; it is no fault where some are missing."""
    found = {package: version_of(package) for package in EXTRAS[name].packages}
    missing = [package for package, own in found.items() if own == NOT_INSTALLED]
    if not missing:
        return Finding(name, True, ", ".join(f"{package} {own}" for package, own in found.items()))
    them = "it" if len(missing) == 1 else "them"
    told = f"{joined(missing)} {NOT_INSTALLED}; only {EXTRAS[name].needed_by} needs {them}"
    return Finding(name, True, told, installing(name))


def _devices() -> list[Finding]:
    devices = available_devices()
    known = {name: torch.cuda.get_device_properties(name) for name in devices if name.startswith("cuda")}
    gpus = [
        f"{name} ({gpu.name}, {gpu.total_memory / GIB:.0f} GiB, trains in {Precision.of(torch.device(name))}, "
        f"batch norm and ReLU {'fused' if can_fuse(torch.device(name)) else 'apart'})"
        for name, gpu in known.items()
    ]
    if gpus:
        return [Finding("device", True, ", ".join(gpus))]
    fix = "for CIFAR-10 at full width use a machine with a CUDA GPU; here, --width 0.25 and --train-limit 5000"
    here = f"{devices[0]}, {Threads.of()}, trains in {Precision.of(torch.device(devices[0]))}"
    if devices[0] == "cpu" and cpu_has_bfloat16():
        here += " and has bfloat16 (retrain --precision bfloat16: faster for wide networks)"
    return [Finding("device", True, f"{here}; no CUDA GPU: {why_no_gpu()}", fix)]


def _memory() -> Finding:
    free_disk = shutil.disk_usage(".").free / GIB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return Finding("memory", True, f"{memory:.0f} GiB of memory, {free_disk:.0f} GiB free on the disk here")


def _database(storage: str | None) -> Finding:
    url = storage_url(storage)
    try:
        searches = list_searches(open_engine(url, create=False))
    except StorageError as error:
        return Finding("database", False, str(error), f"{command('run', storage=storage)} makes one")
    return Finding("database", True, f"{shown(url)}: schema {head_revision()}, searches: {len(searches)}")


def _weights(storage: str | None) -> list[Finding]:
    """The weights of supernets that searches keep, which are files."""
    try:
        engine = open_engine(storage_url(storage), create=False)
        lost = lost_states(engine)
    except StorageError:
        return []
    return [
        Finding(
            f"weights of {name}",
            False,
            f"{file} is {why}",
            command("resume", name, "--restart-weights", storage=storage),
        )
        for name, file, why in lost
    ]


def _data_sets(data_dir: str | None) -> list[Finding]:
    folder = data_folder(data_dir)
    return [
        Finding(name, here, f"in {folder}" if name != "digits" else "in scikit-learn")
        if here
        else Finding(
            name,
            False,
            f"not in {folder}",
            "copy it there; or --data-dir says where it is"
            if name in TEXTS
            else f"{command('run', '--dataset', name)} downloads it; or --data-dir says where it is",
        )
        for name, here in {**found(data_dir), **texts_found(folder)}.items()
    ]
