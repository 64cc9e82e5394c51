"""The options of the guided replay tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.exploration import exploration
from replaytree.config.option import option
from replaytree.config.strategy import StrategyOptions


@dataclass(frozen=True, kw_only=True)
class GuidedOptions(StrategyOptions):
    """The warm-up and the candidates that the value model ranks."""

    name: ClassVar[str] = "guided"
    made_by: ClassVar[str] = "guided.GuidedStrategy"
    is_warm: ClassVar[bool] = True

    warmup: int = option(8, "guided: trainings before the value model chooses.", "Strategy", least=1)
    candidates: int = option(200, "guided: paths ranked before one is trained.", "Strategy", least=1, most=1_000_000)
    mutants: float = option(
        0.75, "guided: share of the candidates that are mutants of good paths.", "Strategy", least=0.0, most=1.0
    )
    exploration: float = exploration()
