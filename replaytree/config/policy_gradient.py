"""The options of the policy gradient, which the strategies that learn by it share."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.controller import ControllerOptions
from replaytree.config.option import Options, group, option


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
    controller: ControllerOptions = group(ControllerOptions)
