"""Whether a space has layers that learn: limits on size may leave none. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def cheapest_learner(space: Space, cost: Callable[[Path], float]) -> Path | None:
    """Of the paths whose last layer alone has numbers to train, one that costs least; None where none was found.

    Of the prefixes without such layers, the cheapest that makes each feature map is gone on with. A layer never lowers
    the cost of what is before it.
    """
    networks = require_networks(space)
    frontier: list[Path] = [()]
    found: Path | None = None
    least, looked_at = float("inf"), 0
    while frontier:
        following: dict[object, tuple[float, Path]] = {}
        for prefix in frontier:
            for action in _layers(space, prefix):
                path = (*prefix, action)
                own, network = cost(path), networks.network(path)
                looked_at += 1
                if looked_at > MOST_LAYERS:
                    return found
                if own >= least:
                    continue
                if network.own_params(len(path)):
                    found, least = path, own
                elif not ended(space, path):
                    before = following.get(network.end_shape)
                    if before is None or own < before[0]:
                        following[network.end_shape] = own, path
        frontier = [path for _, path in following.values()]
    return found


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
