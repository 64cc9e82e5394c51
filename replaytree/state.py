"""The state of a search as bytes, and back; no code is ever read from it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from replaytree.border import reason
from replaytree.config import Growth, SearchConfig
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
        _require_sound(payload)
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


class Standing(NamedTuple):
    """Where a search stands, beside its tree and its strategy; `checkpoints` only in states of before revision 0008."""

    growth: Growth
    checkpoints: list[tuple[int, float]]
    proposed_count: int


def restore(payload: bytes, strategy: Strategy, *, config: SearchConfig, episode_count: int) -> Standing:
    """Set a new strategy to a stored state, and say where its search stands; CorruptTree where they do not fit."""
    state = unpack(payload)
    try:
        if state.get("of", owner(config)) != owner(config):
            raise ValueError(f"it is of a search with {state['of']}, and this one has {owner(config)}")
        strategy.load_state_dict(state["strategy"])
        growth = Growth(**state["growth"])
        seen = [(int(epochs), float(accuracy)) for epochs, accuracy in state.get("pruning", {}).get("seen", ())]
        proposed = state.get("proposed_count", episode_count)
        counts = (
            growth.depth_bound, growth.trainings, growth.episodes, growth.stale, growth.least_epochs, proposed,
        )  # fmt: skip
        if any(type(count) is not int or count < 0 for count in counts) or growth.depth_bound < 1:
            raise ValueError(f"it counts {counts}")
    except Exception as error:  # a state of another strategy, or of other layers, fails in any way
        raise CorruptTree(
            f"the stored state of the strategy does not fit the search ({reason(error)}); import the search from an "
            f"export, or start anew"
        ) from error
    return Standing(growth, seen, proposed)


def owner(config: SearchConfig) -> str:
    """What tells a search's state from that of another one with the same layers."""
    return f"strategy {config.strategy}, seed {config.seed}"


def _require_sound(payload: bytes) -> None:
    """ValueError where a byte was changed, which torch would load; nothing is unpacked to more than it is."""
    with zipfile.ZipFile(io.BytesIO(payload)) as packed:
        if any(member.compress_type != zipfile.ZIP_STORED for member in packed.infolist()):
            raise ValueError("it is compressed, and states are not")
        if (member := packed.testzip()) is not None:
            raise ValueError(f"{member} was changed")


def cause_of(error: BaseException) -> str:
    """What an error says, without torch's advice to those who load files of their own."""
    told = reason(error)
    foreign = re.search(r"GLOBAL (\S+)", told)
    return f"it holds a {foreign[1]}" if foreign else told.partition("WeightsUnpickler error: ")[2] or told
