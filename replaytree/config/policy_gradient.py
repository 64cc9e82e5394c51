"""The options of the policy gradient, which the strategies that learn by it share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replaytree.config.controller import ControllerOptions
from replaytree.config.option import Options, group, option
from replaytree.errors import ConfigError

EntropyPlace = Literal["loss", "reward", "drawn"]

# That of ENAS.
SKIP_TARGET = 0.4


@dataclass(frozen=True, kw_only=True)
class PolicyGradientOptions(Options):
    """The update of the controller."""

    rho_bar: float = option(1.0, "replay: truncation of importance weights.", "Strategy", above=0.0)
    baseline_decay: float | None = option(
        None,
        "replay, reinforce, puct: decay of the baseline's moving average.",
        "Strategy",
        least=0.0,
        most=1.0,
        unset="an even average; reinforce: Zoph and Le's",
    )
    entropy: float = option(
        0.01, "replay, reinforce, puct: weight of the entropy bonus.", "Strategy", least=0.0, most=1e6
    )
    entropy_in: EntropyPlace = option(
        "loss",
        "replay, reinforce, puct: where it is added: loss; reward, as a number; drawn, there, -p log p of what was "
        "drawn.",
        "Strategy",
        metavar="PLACE",
    )
    baseline_first: bool = option(
        False, "replay, reinforce, puct: the baseline takes in a return before it is compared with it.", "Strategy"
    )
    skip_weight: float = option(
        0.0, "replay, reinforce, puct: weight of the KL divergence of skips from --skip-target.", "Strategy", least=0.0,
        most=1e6,
    )  # fmt: skip
    skip_target: float = option(
        SKIP_TARGET, "replay, reinforce, puct: probability that each skip is to have.", "Strategy", above=0.0, below=1.0
    )
    controller: ControllerOptions = group(ControllerOptions)

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if not self.skip_weight and self.skip_target != SKIP_TARGET:
            raise ConfigError(
                f"skip_target is {self.skip_target:g}, and its weight is 0, so that nothing would come of it; give "
                f"--skip-weight, too"
            )
