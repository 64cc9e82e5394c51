"""Whether a space has layers that learn: limits on size may leave none. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from replaytree.records import Path, Space
from replaytree.space.coding import Values, encode, ended
from replaytree.space.graph_space import require_networks

# Layers looked at before the question is left open.
MOST_LAYERS = 10_000


def can_learn(space: Space) -> bool | None:
    """Whether some path has a layer with numbers to train, the head left out; None where that would take too long.

    Layers that take no inputs stand for those that take some: what a layer trains does not depend on that.
    """
    networks = require_networks(space)
    # What may follow depends on the feature map alone, as far as this question goes.
    frontier: dict[object, Path] = {None: ()}
    looked_at = 0
    while frontier:
        following: dict[object, Path] = {}
        for prefix in frontier.values():
            for action in _layers(space, prefix):
                path = (*prefix, action)
                network = networks.network(path)
                if network.own_params(len(path)):
                    return True
                looked_at += 1
                if looked_at > MOST_LAYERS:
                    return None
                if not ended(space, path):
                    following.setdefault(network.end_shape, path)
        frontier = following
    return False


def _layers(space: Space, prefix: Path) -> Iterator[int]:
    """The legal layers after a prefix that take no inputs, one by one."""
    decisions = space.decisions(len(prefix) + 1)

    def complete(chosen: Values) -> Iterator[int]:
        if len(chosen) == len(decisions):
            yield encode(decisions, chosen)
        elif decisions[len(chosen)].kind == "inputs":
            yield from complete((*chosen, 0))
        else:
            for value, legal in enumerate(space.legal(prefix, chosen)):
                if legal:
                    yield from complete((*chosen, value))

    return complete(())
