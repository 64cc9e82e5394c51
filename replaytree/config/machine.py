"""The machine that trains."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option


@dataclass(frozen=True, kw_only=True)
class MachineOptions(Options):
    """The device and how it is used."""

    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps.", "Machine")
    threads: int | None = option(
        None,
        "Threads of a training; OMP_NUM_THREADS also sets it.",
        "Machine",
        least=1,
        most=4096,
        unset="one, or more if they are faster",
    )
    capture: bool | None = option(
        None,
        "On a GPU: capture each training step in a CUDA graph.",
        "Machine",
        unset="unless a layer of your own is not declared capturable",
    )
    fuse: bool | None = option(
        None,
        "On a GPU: fuse batch norm, ReLU, additions and pooling in kernels of Triton.",
        "Machine",
        unset="where Triton works",
    )
    state_dir: str | None = option(
        None,
        "Where the weights of a supernet are kept: a folder of its own for a database.",
        "Machine",
        metavar="FOLDER",
        path=True,
        unset="beside the database; needed for PostgreSQL",
    )
