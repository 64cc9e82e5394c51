"""The state of a search as bytes, and back; no code is ever read from it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import torch

from replaytree.border import reason
from replaytree.errors import CorruptTree, StorageError
from replaytree.policy import Strategy


def pack(state: Mapping[str, Any]) -> bytes:
    """A state as bytes, which have been read back: StorageError for one that could not be resumed from."""
    buffer = io.BytesIO()
    try:
        torch.save(dict(state), buffer)
        unpack(buffer.getvalue())
    except Exception as error:  # pickling runs the methods of whatever is in there
        cause = error.__cause__ if isinstance(error, CorruptTree) and error.__cause__ is not None else error
        raise StorageError(
            f"the strategy's state cannot be read back ({cause_of(cause)}), so nothing of this turn was stored; "
            f"state_dict() may hold tensors, numbers, texts, lists, tuples and dictionaries only"
        ) from error
    return buffer.getvalue()


def unpack(payload: bytes) -> dict[str, Any]:
    """The inverse of pack; only tensors and plain values are read, never code. CorruptTree for anything else."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"it is a {type(state).__name__}")
    except Exception as error:
        # A changed byte makes the unpickler raise IndexError, KeyError, TypeError or AttributeError, too.
        raise CorruptTree(
            f"the stored state of the strategy cannot be read ({cause_of(error)}); import the search from an export, "
            f"or start anew"
        ) from error
    return state


def require_loads(fresh: Strategy, payload: bytes) -> None:
    """StorageError unless a new strategy of the same kind can be set to the packed state."""
    try:
        fresh.load_state_dict(unpack(payload)["strategy"])
    except Exception as error:  # a strategy's code may raise anything
        raise StorageError(
            f"{type(fresh).__name__} cannot load its own state ({reason(error)}), so nothing of this turn was stored; "
            f"load_state_dict() must take what state_dict() gives"
        ) from error


def cause_of(error: BaseException) -> str:
    """What an error says, without torch's advice to those who load files of their own."""
    told = reason(error)
    foreign = re.search(r"GLOBAL (\S+)", told)
    return f"it holds a {foreign[1]}" if foreign else told.partition("WeightsUnpickler error: ")[2] or told
