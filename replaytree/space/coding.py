"""A layer's decisions as one integer, its action, and what may be chosen there: pure functions, no torch.

The values of a layer, in the order of its decisions, are the digits of a mixed-radix number, the first the most
significant. With one decision an action is the option's index.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from replaytree.errors import SpaceError
from replaytree.records import Decision, Path, Space

# The largest whole number that a database column holds.
MOST_ACTIONS = 2**63

# Up to 18 digits fit every database.
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")

Values = tuple[int, ...]
"""One value a decision of a layer."""


def count(decisions: Sequence[Decision]) -> int:
    """The number of actions that a layer of these decisions has, legal or not."""
    return math.prod(decision.size for decision in decisions)


def encode(decisions: Sequence[Decision], values: Sequence[int]) -> int:
    """The action of a layer's values. SpaceError unless there is one value a decision, below its size."""
    if len(values) != len(decisions):
        raise SpaceError(f"{len(values)} values for {len(decisions)} decisions; give one a decision")
    action = 0
    for decision, value in zip(decisions, values, strict=True):
        if not 0 <= value < decision.size:
            raise SpaceError(f"{decision.name} is {value}; its values are 0 to {decision.size - 1}")
        action = action * decision.size + value
    return action


def decode(decisions: Sequence[Decision], action: int) -> Values:
    """The values of a layer's action: the inverse of encode. SpaceError unless 0 <= action < count(decisions)."""
    if len(decisions) == 1 and 0 <= action < decisions[0].size:
        return (action,)
    rest = action
    values = []
    for decision in reversed(decisions):
        rest, value = divmod(rest, decision.size)
        values.append(value)
    if rest or action < 0:
        raise SpaceError(f"there is no action {action}; the layer has actions 0 to {count(decisions) - 1}")
    return tuple(reversed(values))


def taken(decision: Decision, value: int) -> tuple[int, ...]:
    """The indices of the options that a value takes: one, or for `inputs` those of its set bits."""
    if decision.kind != "inputs":
        return (value,)
    return tuple(option for option in range(len(decision.options)) if value >> option & 1)


def allows(decision: Decision, mask: Sequence[bool], value: int) -> bool:
    """Whether a value takes none but the options that a mask allows."""
    if decision.kind != "inputs":
        return mask[value]
    return False not in mask or all(mask[option] for option in taken(decision, value))


def named(decisions: Sequence[Decision], values: Sequence[int]) -> dict[str, str | list[str]]:
    """The values in words, by decision: {'filter_height': '3', 'inputs': ['1', '2']}."""
    found: dict[str, str | list[str]] = {}
    for decision, value in zip(decisions, values, strict=True):
        options = [decision.options[option] for option in taken(decision, value)]
        found[decision.name] = options if decision.kind == "inputs" else options[0]
    return found


def decisions_json(decisions: Sequence[Decision], action: int) -> str:
    """The decisions of a layer as a database holds them: '{"filter_height": 3, "kind": "conv", "inputs": [1, 3]}'.

    An option that is a whole number is a number of JSON, so that SQL can compare it.
    """
    if len(decisions) == 1 and decisions[0].kind != "inputs":
        return _one_json(decisions[0].name, decisions[0].options[action])
    found = {
        name: _plain(option) if isinstance(option, str) else [_plain(each) for each in option]
        for name, option in named(decisions, decode(decisions, action)).items()
    }
    return json.dumps(found, ensure_ascii=False)


# `check` asks for every node, and there are few options.
@lru_cache(maxsize=4096)
def _one_json(name: str, option: str) -> str:
    return json.dumps({name: _plain(option)}, ensure_ascii=False)


def _plain(option: str) -> int | str:
    return int(option) if _WHOLE.fullmatch(option) else option


def why_illegal(space: Space, prefix: Path, action: int) -> str | None:
    """Which decision of a layer is illegal after a legal `prefix`, in words; None where the layer is legal."""
    if len(prefix) == space.max_layers:
        return f"the path would have more layers than max_layers, {space.max_layers} (--max-layers)"
    decisions = space.decisions(len(prefix) + 1)
    try:
        values = decode(decisions, action)
    except SpaceError as error:
        return str(error)
    for place, (decision, value) in enumerate(zip(decisions, values, strict=True)):
        mask = space.legal(prefix, values[:place])
        if not allows(decision, mask, value):
            if place == 0 and not any(mask):
                return "the path has ended before it"
            wrong = [option for option in taken(decision, value) if not mask[option]]
            why = _why(space, prefix, values[:place], wrong[0])
            return f"{decision.name} may not be {' or '.join(decision.options[o] for o in wrong)} there{why}"
    return None


def _why(space: Space, prefix: Path, chosen: Values, option: int) -> str:
    """Why, as ': ...', where the space can tell."""
    explain = getattr(space, "why", None)
    reason = None if explain is None else explain(prefix, chosen, option)
    return f": {reason}" if reason else ""


def is_legal(space: Space, prefix: Path, action: int) -> bool:
    """Whether a layer may follow a legal `prefix`."""
    if len(prefix) == space.max_layers:
        return False
    # Of the class, because a space within limits hands on all that it lacks to the space without them.
    if hasattr(type(space), "allows"):
        quick: bool = space.allows(prefix, action)  # type: ignore[attr-defined]
        return quick
    decisions = space.decisions(len(prefix) + 1)
    if len(decisions) == 1 and decisions[0].kind != "inputs":
        mask = space.legal(prefix)
        return 0 <= action < len(mask) and mask[action]
    return why_illegal(space, prefix, action) is None


def ended(space: Space, path: Path) -> bool:
    """Whether nothing may follow a legal path."""
    return len(path) == space.max_layers or not any(space.legal(path))


def legal_actions(space: Space, prefix: Path) -> Iterator[int]:
    """Every legal action after `prefix`, in order. Only for spaces that are small enough to be walked."""
    if len(prefix) == space.max_layers:
        return
    decisions = space.decisions(len(prefix) + 1)
    chosen: list[Values] = [()]
    for decision in decisions:
        chosen = [
            (*values, value)
            for values in chosen
            for mask in (space.legal(prefix, values),)
            for value in range(decision.size)
            if allows(decision, mask, value)
        ]
    yield from (encode(decisions, values) for values in chosen)


def labels(space: Space, path: Path) -> tuple[str, ...]:
    """The labels of a path's layers."""
    return tuple(space.label(path[:depth], action) for depth, action in enumerate(path))
