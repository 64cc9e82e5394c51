"""The options of random search: none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.strategy import StrategyOptions


@dataclass(frozen=True, kw_only=True)
class RandomOptions(StrategyOptions):
    """Uniformly random paths."""

    name: ClassVar[str] = "random"
    made_by: ClassVar[str] = "random_search.RandomStrategy"
