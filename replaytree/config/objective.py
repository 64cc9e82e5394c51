"""What a search is rewarded for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replaytree.config.option import Options, option

RewardKind = Literal["accuracy", "balanced"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(Options):
    """The accuracy that counts, and how it is weighed against the cost of a network."""

    reward: RewardKind = option(
        "accuracy", "accuracy; or balanced: the mean of the classes' accuracies.", "What to search"
    )
    target_params: int | None = option(
        None, "Above it, the reward is accuracy * (parameters / target)^w.", "What to search", least=1
    )
    target_flops: int | None = option(
        None, "Above it, the reward is accuracy * (FLOPs / target)^w.", "What to search", least=1
    )
    cost_weight: float = option(-0.07, "The exponent w of the targets.", "What to search", most=0.0, least=-1e3)
