"""What a search is rewarded for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replaytree.config.latency import LATENCY
from replaytree.config.option import Options, option

RewardKind = Literal["accuracy", "balanced", "macro-f1"]


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions(Options):
    """The accuracy that counts, and how it is weighed against the cost of a network."""

    reward: RewardKind = option(
        "accuracy",
        "accuracy; balanced: the mean of the classes' accuracies; macro-f1: the mean of their F1.",
        "What to search",
    )
    reward_power: float = option(
        1.0, "The strategy is rewarded with accuracy to this power; 3 in Zoph and Le.", "What to search", above=0.0,
        most=100.0,
    )  # fmt: skip
    reward_epochs: int = option(
        1, "A path is rewarded with its best accuracy after any of its last N epochs; the last is stored.",
        "What to search", least=1, most=1_000_000,
    )  # fmt: skip
    target_params: int | None = option(
        None, "Above it, the reward is accuracy * (parameters / target)^w.", "What to search", least=1
    )
    target_flops: int | None = option(
        None, "Above it, the reward is accuracy * (FLOPs / target)^w.", "What to search", least=1
    )
    target_latency: float | None = option(
        None, "Above it, the reward is accuracy * (latency by --latency-table / target)^w; as in 2ms.",
        "What to search", metavar="MS", form=LATENCY,
    )  # fmt: skip
    cost_weight: float = option(-0.07, "The exponent w of the targets.", "What to search", most=0.0, least=-1e3)
