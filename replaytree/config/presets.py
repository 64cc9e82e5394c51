"""Options under one name: what a published search was run with. Single options override them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replaytree.config.strategies import without_foreign
from replaytree.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Preset:
    """Values of options by name (search.py). `deviations` says what is not as published.

    `shares` are options whose values are shares of all trainings, where their number is given; `options` has the
    published values of these, too.
    """

    about: str
    options: Mapping[str, Any]
    shares: Mapping[str, float] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """What it is, and each deviation."""
        return f"{self.about} Not as published: {'; '.join(self.deviations)}."


PRESETS: dict[str, Preset] = {
    "zoph": Preset(
        about="the controller and schedule of Zoph and Le (2017) for CIFAR-10.",
        options={
            "space": "zoph",
            "strategy": "reinforce",
            "controller_layers": 2,
            "hidden_size": 35,
            "policy_learning_rate": 6e-4,
            "grad_clip": 1e9,
            "entropy": 0.0,
            "baseline_decay": 0.95,
            "num_paths": 8,
            "reward_power": 3.0,
            "reward_epochs": 5,
            "min_layers": 6,
            "max_layers": 20,
            "grow_by": 2,
            "grow_every": 1600,
            "prune": False,
        },
        # 1,600 of 12,800 architectures.
        shares={"grow_every": 1 / 8},
        deviations=(
            "the baseline's decay of 0.95, which the paper does not print, and a baseline for each depth",
            "depth rises after an eighth of --trainings, as 1,600 is of 12,800, or by --grow-every",
            "one process, not 100 replicas of the controller",
            "networks are trained by our recipe, jointly with their prefixes, for --epochs and not for 50",
            "filters times --width",
            "global average pooling before the classifier",
        ),
    ),
}


def with_preset(name: str | None, given: Mapping[str, Any], *, trainings: int | None = None) -> dict[str, Any]:
    """The options given, and those of a preset that are not given; ConfigError for a name that there is not.

    Its shares are of `trainings`; None: the published numbers. Where another strategy was given, the options of the
    preset's own are left out.
    """
    if name is None:
        return dict(given)
    if name not in PRESETS:
        raise ConfigError(f"preset is {name!r:.80}; it must be one of {', '.join(PRESETS)} (--preset)")
    preset = PRESETS[name]
    scaled = {} if trainings is None else {o: max(1, round(s * trainings)) for o, s in preset.shares.items()}
    values = {**preset.options, **scaled}
    return {**without_foreign(given.get("strategy", values["strategy"]), values), **given}
