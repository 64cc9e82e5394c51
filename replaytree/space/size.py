"""How many paths a space has: those that nothing may follow. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from replaytree.records import Path, Space
from replaytree.space.coding import Values, count, encode, ended, legal_actions
from replaytree.space.decision_space import DecisionSpace
from replaytree.space.layer_space import LayerSpace
from replaytree.space.plan import Countable

# Layers that are looked at, in all, before legality is left out of account.
MOST_STEPS = 50_000

State = Callable[[Path], Hashable]


@dataclass(frozen=True, slots=True)
class Size:
    """The number of paths; if not `is_exact`, of all combinations, of which some are illegal or the same path."""

    paths: int
    is_exact: bool


def size_of(space: LayerSpace | DecisionSpace) -> Size:
    """The number of paths down to max_layers, or to a layer that ends them earlier.

    Paths are counted a depth at a time: prefixes of one state, after which the same is legal, are counted together.
    """
    state = _state(space)
    found = _free(space) if state(()) is None else _counted(space, state)
    if found is not None:
        return Size(found, is_exact=True)
    return Size(math.prod(count(space.decisions(depth + 1)) for depth in range(space.max_layers)), is_exact=False)


def _state(space: LayerSpace | DecisionSpace) -> State:
    """What legality after a prefix depends on; where a plan does not say, on all of the prefix."""
    if isinstance(space, LayerSpace):
        return space.output_shape
    return space.plan.state if isinstance(space.plan, Countable) else lambda prefix: prefix


def _free(space: Space) -> int:
    """The number of paths where no choice depends on an earlier one."""
    path: Path = ()
    total = 1
    while not ended(space, path):
        decisions = space.decisions(len(path) + 1)
        chosen: Values = ()
        for decision in decisions:
            mask = space.legal(path, chosen)
            is_set = decision.kind == "inputs"
            total *= 2 ** sum(mask) if is_set else sum(mask)
            chosen = (*chosen, 0 if is_set else mask.index(True))
        path = (*path, encode(decisions, chosen))
    return total


def _counted(space: Space, state: State) -> int | None:
    """The number of paths; None where there are too many states."""
    frontier: dict[Hashable, tuple[int, Path]] = {state(()): (1, ())}
    steps = total = 0
    while frontier:
        following: dict[Hashable, tuple[int, Path]] = {}
        for number, prefix in frontier.values():
            if ended(space, prefix):
                total += number
                continue
            steps += count(space.decisions(len(prefix) + 1))
            if steps > MOST_STEPS:
                return None
            for action in legal_actions(space, prefix):
                path = (*prefix, action)
                key = state(path)
                before, same = following.get(key, (0, path))
                following[key] = before + number, same
        frontier = following
    return total
