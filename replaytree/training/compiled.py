"""Networks that torch compiles for long trainings: fewer and larger kernels, for up to a minute at the start.

Batch norm, activations and additions between convolutions are fused, forward and backward. A step that is captured
replays the compiled kernels. It is meant for GPUs: on a CPU a compiled step takes as long, or longer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from replaytree.errors import ConfigError


def compile_network(network: nn.Module) -> None:
    """Let torch compile the network when it is first called; names, weights and copies of it stay as they were.

    Random numbers are torch's own, so that dropout is that of the eager network. ConfigError where torch cannot.
    """
    # Products of float32 are to be exact (precision.py), and this advises against it.
    warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores", category=UserWarning)
    with compiler_errors():
        network.compile(options={"fallback_random": True})


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Turn what torch says of its compiler, which is found and used at the first step, into one line."""
    try:
        yield
    except RuntimeError as error:
        if not _is_of_compiler(error):
            raise
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ConfigError(
            f"torch cannot compile the network here ({why}); leave out --compile, or install what is missing: a C++ "
            f"compiler, and for a GPU Triton, too"
        ) from error


def _is_of_compiler(error: RuntimeError) -> bool:
    # By name: the import of torch's compiler takes seconds. The second is what Triton says, the third of too new a
    # Python.
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    return "TorchDynamoException" in names or "Failed to find C compiler" in text or "not supported on Python" in text
