"""Convert a search's state to bytes and back; no code is ever read from it."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from replaytree.border import reason
from replaytree.config import Growth, SearchConfig
from replaytree.errors import CorruptTree, StorageError
from replaytree.policy import Strategy
from replaytree.search.turns import TrainedBy, Turn


def pack(state: Mapping[str, Any], *, of: str = "strategy", prove: bool = True) -> bytes:
    """A state as bytes; StorageError if the search could not resume from them.

    `of` is whose it is. It is verified by reading it back, where `prove`.
    """
    buffer = io.BytesIO()
    try:
        torch.save(dict(state), buffer)
        if prove:
            unpack(buffer.getvalue(), of=of)
    except Exception as error:  # pickling runs methods of the objects in the state
        cause = error.__cause__ if isinstance(error, CorruptTree) and error.__cause__ is not None else error
        raise StorageError(
            f"the {of}'s state cannot be read back ({cause_of(cause)}), so nothing of this turn was stored; "
            f"state_dict() may hold tensors, numbers, texts, lists, tuples and dictionaries only"
        ) from error
    return buffer.getvalue()


def unpack(payload: bytes, *, of: str = "strategy") -> dict[str, Any]:
    """The inverse of pack; only tensors and plain values are read, never code. CorruptTree for anything else."""
    try:
        _require_sound(payload)
        state: dict[str, Any] = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
        if not isinstance(state, dict):
            raise ValueError(f"it is a {type(state).__name__}")
    except Exception as error:
        # A changed byte makes the unpickler raise IndexError, KeyError, TypeError or AttributeError, too.
        raise CorruptTree(
            f"the stored state of the {of} cannot be read ({cause_of(error)}); import the search from an export, "
            f"or start anew"
        ) from error
    return state


def require_loads(fresh: Strategy, payload: bytes) -> None:
    """Raise StorageError unless a new strategy of the same kind can load the packed state."""
    try:
        fresh.load_state_dict(unpack(payload)["strategy"])
    except Exception as error:  # a strategy's code may raise anything
        raise StorageError(
            f"{type(fresh).__name__} cannot load its own state ({reason(error)}), so nothing of this turn was stored; "
            f"load_state_dict() must accept what state_dict() returns"
        ) from error


class Standing(NamedTuple):
    """The rest of a search's state, beside tree and strategy; `checkpoints` is set in states before revision 0008.

    `pending`: the turns that were proposed and not recorded. `accuracy_range`: the memory's, before the last turn.
    """

    growth: Growth
    checkpoints: list[tuple[int, float]]
    proposed: int
    pending: list[Turn]
    accuracy_range: tuple[float, float]
    trained_by: TrainedBy | None


def restore(payload: bytes, strategy: Strategy, *, config: SearchConfig, episode_count: int) -> Standing:
    """Load a stored state into a new strategy, and return the rest of it; CorruptTree if they do not fit."""
    state = unpack(payload)
    try:
        if state.get("of", owner(config)) != owner(config):
            raise ValueError(f"it is of a search with {state['of']}, and this one has {owner(config)}")
        strategy.load_state_dict(state["strategy"])
        growth = Growth(**state["growth"])
        seen = [(int(epochs), float(accuracy)) for epochs, accuracy in state.get("pruning", {}).get("seen", ())]
        proposed = state.get("proposed_count", episode_count)
        pending = [Turn.from_plain(turn) for turn in state.get("pending", ())]
        least, best = map(float, state.get("accuracy_range", (math.inf, -math.inf)))
        workers = state.get("trained_by")
        trained_by = None if workers is None else TrainedBy(*workers)
        counts = (
            growth.depth_bound, growth.trainings, growth.episodes, growth.stale, growth.least_epochs, proposed,
            *(turn.number for turn in pending),
        )  # fmt: skip
        if any(type(count) is not int or count < 0 for count in counts) or growth.depth_bound < 1:
            raise ValueError(f"it counts {counts}")
    except Exception as error:  # the state of another strategy, or of other layers, may raise anything
        raise CorruptTree(
            f"the stored state of the strategy does not fit the search ({reason(error)}); import the search from an "
            f"export, or start anew"
        ) from error
    return Standing(growth, seen, proposed, pending, (least, best), trained_by)


def owner(config: SearchConfig) -> str:
    """A mark that distinguishes a search's state from that of another search with the same layers."""
    return f"strategy {config.strategy}, seed {config.seed}"


def _require_sound(payload: bytes) -> None:
    """Raise ValueError if a byte was changed (torch would load it) or if the payload is compressed."""
    with zipfile.ZipFile(io.BytesIO(payload)) as packed:
        if any(member.compress_type != zipfile.ZIP_STORED for member in packed.infolist()):
            raise ValueError("it is compressed, and states are not")
        if (member := packed.testzip()) is not None:
            raise ValueError(f"{member} was changed")


def cause_of(error: BaseException) -> str:
    """An error's message, without torch's advice on loading files that one trusts."""
    told = reason(error)
    foreign = re.search(r"GLOBAL (\S+)", told)
    return f"it holds a {foreign[1]}" if foreign else told.partition("WeightsUnpickler error: ")[2] or told
