"""The options of REINFORCE with the experience replay tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from replaytree.config.drawing import temperature
from replaytree.config.option import group, option
from replaytree.config.policy_gradient import PolicyGradientOptions
from replaytree.config.strategy import StrategyOptions
from replaytree.errors import ConfigError

ReturnKind = Literal["cumulative", "reward-to-go", "best-reached", "marginal-gain", "final"]
BaselineKind = Literal["depth", "parent"]


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(StrategyOptions):
    """What a step is credited with, what it is compared with, and how often episodes come from the tree."""

    name: ClassVar[str] = "replay"
    made_by: ClassVar[str] = "replay.ReplayStrategy"
    is_warm: ClassVar[bool] = True

    return_kind: ReturnKind = option(
        "cumulative",
        f"replay: what a step is credited with: {', '.join(get_args(ReturnKind))}.",
        "Strategy",
        flag="--return",
        metavar="KIND",
    )
    gamma: float = option(0.9, "replay: discount in G_t = R_t + gamma G_(t-1).", "Strategy", least=0.0, most=1.0)
    temperature: float = temperature()
    replay: float = option(
        0.25, "replay: probability that an episode is replayed from the tree.", "Strategy", least=0.0, most=1.0
    )
    continue_: float = option(
        0.0, "replay: probability that an episode continues a prefix of the tree.", "Strategy", least=0.0, most=1.0
    )
    baseline: BaselineKind = option(
        "depth", "replay: what a return is compared with: depth (earlier paths), parent (its prefix).", "Strategy",
        metavar="KIND",
    )  # fmt: skip
    gradient: PolicyGradientOptions = group(PolicyGradientOptions)

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.replay + self.continue_ > 1.0:
            raise ConfigError(
                f"replay ({self.replay}) and continue ({self.continue_}) add up to more than 1; "
                f"lower --replay or --continue"
            )
