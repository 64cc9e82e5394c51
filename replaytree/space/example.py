"""How the layers of a space are written: a path that shows it."""

from __future__ import annotations

from replaytree.records import Decision, Path, Space
from replaytree.space.coding import Values, encode, ended

# The third layer is the first that can read two others.
SHOWN = 3


def example_path(space: Space) -> Path:
    """A path of up to three layers: other options from decision to decision, and in the last layer all inputs."""
    depth = min(SHOWN, space.max_layers)
    path: Path = ()
    while len(path) < depth and not ended(space, path):
        is_last = len(path) + 1 == depth
        longer = _longer(space, path, first=1, all_inputs=is_last)
        if not is_last and ended(space, longer):
            # Such as a layer that ends a path early: the first that is legal goes on in every space of ours.
            longer = _longer(space, path, first=0, all_inputs=False)
        path = longer
    return path


def _longer(space: Space, prefix: Path, *, first: int, all_inputs: bool) -> Path:
    decisions = space.decisions(len(prefix) + 1)
    chosen: Values = ()
    for place, decision in enumerate(decisions, start=first + len(prefix)):
        chosen = (*chosen, _value(decision, space.legal(prefix, chosen), place, all_inputs=all_inputs))
    return (*prefix, encode(decisions, chosen))


def _value(decision: Decision, mask: tuple[bool, ...], place: int, *, all_inputs: bool) -> int:
    legal = [option for option, may in enumerate(mask) if may]
    if decision.kind == "inputs":
        return sum(1 << option for option in legal) if all_inputs else 0
    return legal[place % len(legal)]
