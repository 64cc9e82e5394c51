"""The options of Q-learning as in MetaQNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.option import option
from replaytree.config.strategy import StrategyOptions


@dataclass(frozen=True, kw_only=True)
class QLearningOptions(StrategyOptions):
    """How exploration falls, and how the table learns."""

    name: ClassVar[str] = "q-learning"
    made_by: ClassVar[str] = "q_learning.QLearningStrategy"

    q_trainings: int | None = option(
        None,
        "q-learning: trainings in which exploration falls from 1 to 0.1.",
        "Strategy",
        least=1,
        most=1_000_000_000,
        unset="those of the first run",
    )
    q_rate: float = option(
        0.01, "q-learning: share of its error that a value is corrected by.", "Strategy", above=0.0, most=1.0
    )
    q_replays: int = option(
        128, "q-learning: stored paths replayed after a training.", "Strategy", least=1, most=1_000_000
    )
