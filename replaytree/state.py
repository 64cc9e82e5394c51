"""The state of a search as bytes, and back; no code is ever read from it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch

from replaytree.errors import CorruptTree


def pack(state: Mapping[str, Any]) -> bytes:
    """A state as bytes."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def unpack(payload: bytes) -> dict[str, Any]:
    """The inverse of pack; only tensors and plain values are read, never code. CorruptTree for anything else."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"it is a {type(state).__name__}")
    except Exception as error:
        # A changed byte makes the unpickler raise IndexError, KeyError, TypeError or AttributeError, too.
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptTree(
            f"the stored state of the strategy cannot be read ({what}); import the search from an export, or start anew"
        ) from error
    return state
