"""The options of REINFORCE as in Zoph and Le (2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.option import group
from replaytree.config.policy_gradient import PolicyGradientOptions
from replaytree.config.strategy import StrategyOptions


@dataclass(frozen=True, kw_only=True)
class ReinforceOptions(StrategyOptions):
    """How the controller learns."""

    name: ClassVar[str] = "reinforce"
    made_by: ClassVar[str] = "replay.reinforce"

    gradient: PolicyGradientOptions = group(PolicyGradientOptions)
