"""The options of tree search with the controller as prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.exploration import exploration
from replaytree.config.option import group
from replaytree.config.policy_gradient import PolicyGradientOptions
from replaytree.config.strategy import StrategyOptions


@dataclass(frozen=True, kw_only=True)
class PuctOptions(StrategyOptions):
    """The exploration constant c, and how the controller learns."""

    name: ClassVar[str] = "puct"
    made_by: ClassVar[str] = "puct.PuctStrategy"

    exploration: float = exploration()
    gradient: PolicyGradientOptions = group(PolicyGradientOptions)
