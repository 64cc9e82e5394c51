"""The options of aging evolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.option import option
from replaytree.config.strategy import StrategyOptions


@dataclass(frozen=True, kw_only=True)
class EvolutionOptions(StrategyOptions):
    """The population."""

    name: ClassVar[str] = "evolution"
    made_by: ClassVar[str] = "evolution.EvolutionStrategy"

    population: int = option(20, "evolution: paths kept in the population.", "Strategy", least=1)
    tournament: int = option(5, "evolution: paths that compete to be a parent.", "Strategy", least=1, most=1_000_000)
