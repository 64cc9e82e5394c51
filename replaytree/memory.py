"""Whether an error means that memory ran out. Torch is not imported here: the command line asks, too."""

from __future__ import annotations

# oneDNN gives no reason when it cannot create or run an operation whose descriptor it has accepted: memory is missing.
_WHOLE = ("could not create a primitive", "could not execute a primitive")
_PARTS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """On a GPU, in Python, or in torch's allocators for the CPU, which raise a plain RuntimeError."""
    # Torch's own class is known by its name, and derived from RuntimeError.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (text in _WHOLE or any(part in text for part in _PARTS))
