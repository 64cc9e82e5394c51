"""Whether an error means that memory ran out. Torch is not imported here, to keep the command line fast."""

from __future__ import annotations

# oneDNN says no more than this if it accepts an operation and then lacks the memory to create or run it.
_WHOLE = ("could not create a primitive", "could not execute a primitive")
_PARTS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """True for a GPU's memory, Python's, and that of torch's CPU allocators, which raise a plain RuntimeError."""
    # Torch's own class is recognised by its name; it is a subclass of RuntimeError.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (text in _WHOLE or any(part in text for part in _PARTS))
