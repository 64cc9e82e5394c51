"""What a network may cost: the limits of a search, and of what `best` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on one cost. `cost` is what records and columns call it, `noun` what people do."""

    cost: str
    noun: str


LIMITS = {
    "max_params": Limit("params", "parameters"),
    "max_flops": Limit("flops", "FLOPs"),
    "max_ram": Limit("ram_bytes", "bytes of RAM"),
    "max_flash": Limit("flash_bytes", "bytes of flash"),
}
"""By the name of the option that sets it."""


NOUNS = {limit.cost: limit.noun for limit in LIMITS.values()}
"""What people call a cost."""


class CostLimits(TypedDict, total=False):
    """Limits as keywords; None is no limit."""

    max_params: int | None
    max_flops: int | None
    max_ram: int | None
    max_flash: int | None


def limits_of(options: Any) -> dict[str, int]:
    """The limits that an object has under these names, those that are None left out."""
    found = {name: getattr(options, name) for name in LIMITS}
    return {name: limit for name, limit in found.items() if limit is not None}
