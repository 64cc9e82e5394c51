"""What a user's part of a space returns (legal, cost, output_shape): as the contract has it, or SpaceError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replaytree.border import LARGEST, items, reason, told, truth, whole
from replaytree.errors import ReplayTreeError, SpaceError
from replaytree.records import Shape


def require_shape(name: str, value: object) -> Shape:
    """`value` as a Shape; SpaceError unless it is three whole numbers of at least 1."""
    want = "(channels, height, width), each at least 1"
    given = items(name, value, want=want, error=SpaceError)
    if len(given) != 3:
        raise SpaceError(f"{name} is {told(value)}; it must be {want}")
    channels, height, width = (
        whole(f"{what} of {name}", part, least=1, error=SpaceError)
        for what, part in zip(("channels", "height", "width"), given, strict=True)
    )
    return channels, height, width


def require_cost(name: str, value: object) -> tuple[int, int]:
    """`value` as (parameters, FLOPs); SpaceError unless it is two whole numbers of at least 0."""
    given = items(name, value, want="(parameters, FLOPs)", error=SpaceError)
    if len(given) != 2:
        raise SpaceError(f"{name} is {told(value)}; it must be (parameters, FLOPs)")
    # The largest number stands for an unknown cost in rankings.
    params, flops = (
        whole(f"{what} of {name}", part, least=0, most=LARGEST - 1, error=SpaceError)
        for what, part in zip(("parameters", "FLOPs"), given, strict=True)
    )
    return params, flops


def require_mask(asked: str, value: object, num_actions: int, *, may_end: bool = False) -> tuple[bool, ...]:
    """What `legal` returned, as bools; at least one is True, unless the path `may_end` there."""
    given = items(asked, value, want="one bool an action", error=SpaceError, most=num_actions)
    if len(given) != num_actions:
        count = str(len(given)) if len(given) < num_actions else f"more than {num_actions}"
        raise SpaceError(f"{asked} has {count} values; it must have {num_actions}: one an action")
    mask = tuple(truth(f"{asked}, action {n},", may, error=SpaceError) for n, may in enumerate(given))
    if not may_end and not any(mask):
        raise SpaceError(f"{asked} allows nothing; only behind a layer may a path end, so allow at least one there")
    return mask


def called(asked: str, function: Callable[..., Any], *arguments: object) -> Any:
    """What a function of the user's returns; SpaceError, saying what was asked for, where it raises."""
    try:
        return function(*arguments)
    except ReplayTreeError:
        raise
    except Exception as error:
        raise SpaceError(f"{asked} cannot be had: {reason(error)}") from error
