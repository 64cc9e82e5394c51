"""What the network of a prefix costs, by the names that records and columns have for it. No torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from replaytree.records import Path, Space
from replaytree.space.graph_space import final_space

COSTS = ("params", "flops", "ram_bytes", "flash_bytes")
_OF_MEMORY = frozenset(("ram_bytes", "flash_bytes"))


def costs_of(space: Space, prefix: Path, names: Collection[str] = COSTS) -> dict[str, int | None]:
    """The costs of the prefix with its head (Space.cost, Network); None for those that the space does not know.

    Memory is that of the network that is delivered (`final_space`), which a device must hold.
    """
    found: dict[str, int | None] = {}
    if not _OF_MEMORY.issuperset(names):
        found = dict(zip(COSTS, space.cost(prefix) or (None, None), strict=False))
    of_network = [name for name in names if name in _OF_MEMORY]
    if of_network:
        delivered = final_space(space)
        # A space of labels knows no networks. Some know the memory without making the network.
        ask = getattr(delivered, "memory", None) or getattr(delivered, "network", None)
        memory: Any = None if ask is None else ask(prefix)
        found |= {name: getattr(memory, name, None) for name in of_network}
    return {name: found[name] for name in names}
