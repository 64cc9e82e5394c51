"""The options of aging evolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from replaytree.config.option import option
from replaytree.config.strategy import StrategyOptions

MutationName = Literal["decision", "amoebanet"]
RemovalName = Literal["oldest", "worst"]


@dataclass(frozen=True, kw_only=True)
class EvolutionOptions(StrategyOptions):
    """The population, who leaves it, and how a child differs from its parent."""

    name: ClassVar[str] = "evolution"
    made_by: ClassVar[str] = "evolution.EvolutionStrategy"

    population: int = option(20, "evolution: paths kept in the population.", "Strategy", least=1)
    tournament: int = option(5, "evolution: paths that compete to be a parent.", "Strategy", least=1, most=1_000_000)
    removal: RemovalName = option(
        "oldest", "evolution: who leaves when a child joins: oldest; worst, of another --tournament.", "Strategy",
        metavar="WHO",
    )  # fmt: skip
    mutation: MutationName = option(
        "decision",
        "evolution: what a child differs in: decision, any; amoebanet, as often an input as a choice.",
        "Strategy",
        metavar="KIND",
    )
    identity: float | None = option(
        None, "evolution: probability that a child is its parent, which is trained again.", "Strategy", least=0.0,
        most=1.0, unset="0.05 with --mutation amoebanet, else 0",
    )  # fmt: skip
