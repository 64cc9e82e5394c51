"""The options that the differentiable strategies share, and what else they ask of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from replaytree.config.option import Declared, Options, option
from replaytree.config.space import PUBLISHED_DEPTHS, SpaceOptions
from replaytree.config.strategy import StrategyOptions
from replaytree.errors import ConfigError

StopName = Literal["eigenvalue", "skips"]
DeriveName = Literal["largest", "perturbation"]


@dataclass(frozen=True, kw_only=True)
class BilevelOptions(Options):
    """How the numbers and the weights of a mixed supernet are trained. An epoch is an episode."""

    search_epochs: int | None = option(
        None,
        "darts, pc-darts, gdas: epochs in which rates and temperatures fall; an epoch is a training.",
        "Strategy",
        least=1,
        most=1_000_000,
        unset="the trainings of the first run",
    )
    alpha_rate: float | None = option(
        None,
        "darts, pc-darts, gdas: learning rate of Adam on the numbers.",
        "Strategy",
        above=0.0,
        most=1e3,
        unset="as published, 3e-4 or 6e-4, and up to 0.03 where a search has fewer steps",
    )
    alpha_decay: float = option(
        1e-3, "darts, pc-darts, gdas: weight decay of the numbers.", "Strategy", least=0.0, most=1e3
    )
    final_rate: float | None = option(
        None,
        "darts, pc-darts, gdas: what the learning rate of the weights falls to, as a cosine.",
        "Strategy",
        least=0.0,
        most=1e3,
        unset="0.001; pc-darts: 0",
    )
    frozen: float | None = option(
        None,
        "darts, pc-darts, gdas: share of the epochs, from the first, in which only weights are trained.",
        "Strategy",
        least=0.0,
        below=1.0,
        unset="0; pc-darts: 0.3, as 15 of 50",
    )
    stop_early: StopName | None = option(
        None,
        "darts, pc-darts, gdas: end a search that collapses: eigenvalue, where that of the Hessian rises "
        "(RobustDARTS); skips, where the normal cell has two or more (DARTS+); both from epoch 11 on.",
        "Strategy",
        metavar="RULE",
        unset="never",
    )


@dataclass(frozen=True, kw_only=True)
class DerivingOptions(Options):
    """How a path is derived at the end."""

    derive: DeriveName = option(
        "largest",
        "darts, pc-darts: largest, the largest weight; perturbation: after the epochs, one more training for each "
        "choice keeps what validation misses most (DARTS+PT).",
        "Strategy",
        metavar="RULE",
    )
    tuning_epochs: int = option(
        5, "With --derive perturbation: epochs of weights after each choice.", "Strategy", least=0, most=10_000
    )


# Beyond it numbers follow the noise of single batches.
MOST_RAISED = 0.03

UNKNOWN_LENGTH = "nothing says in how many epochs the rates fall; give --trainings, or --search-epochs"


class DifferentiableOptions(StrategyOptions):
    """What the three strategies have in common, beside their options."""

    made_by: ClassVar[str] = "differentiable.DifferentiableStrategy"
    is_differentiable: ClassVar[bool] = True
    bilevel: BilevelOptions

    # Published defaults, where the strategies differ or other groups declare the option.
    alpha_rate_unset: ClassVar[float] = 3e-4
    # Of the numbers: 50 epochs of 25,000 images in batches of 64.
    published_steps: ClassVar[int] = 50 * 391
    final_rate_unset: ClassVar[float] = 1e-3
    frozen_unset: ClassVar[float] = 0.0
    learning_rate_unset: ClassVar[float] = 0.025
    nesterov: ClassVar[bool] = False

    @classmethod
    def implied(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Weights as they are published: SGD with a cosine, decay 3e-4, gradients of at most 5; whole paths.

        Cells have as many nodes as the published ones.
        """
        usual = PUBLISHED_DEPTHS.get(str(given.get("space")), SpaceOptions.max_layers)
        least, most = given.get("min_layers"), given.get("max_layers")
        bounds = {"min_layers": usual if most is None else most, "max_layers": usual}
        # --max-layers follows --min-layers.
        follows = least is not None and most is None
        return {
            **({} if follows else bounds),
            "weights": "shared",
            "learning_rate": cls.learning_rate_unset,
            "weight_decay": 3e-4,
            "label_smoothing": 0.0,
            "supernet_clip": 5.0,
            "prune": False,
        }

    def require_length(self, trainings: int | None) -> None:
        """ConfigError where neither the options nor the limits of a run say how many epochs a search has."""
        if self.bilevel.search_epochs is None and trainings is None:
            raise ConfigError(UNKNOWN_LENGTH)

    def alpha_rate(self, *, steps: int) -> float:
        """The learning rate of the numbers in a search of so many steps of them.

        Where none is given, the published one, raised so that a short search can move them as far as the published
        one, of `published_steps`: at that rate itself they would hardly move.
        """
        if self.bilevel.alpha_rate is not None:
            return self.bilevel.alpha_rate
        raised = self.alpha_rate_unset * self.published_steps / max(steps, 1)
        return max(self.alpha_rate_unset, min(raised, MOST_RAISED))

    @property
    def final_rate(self) -> float:
        """What the learning rate of the weights falls to."""
        given = self.bilevel.final_rate
        return self.final_rate_unset if given is None else given

    @property
    def frozen(self) -> float:
        """The share of the epochs in which numbers stay as they are."""
        given = self.bilevel.frozen
        return self.frozen_unset if given is None else given

    @property
    def channel_share(self) -> int:
        """Operations see one of so many parts of the channels."""
        return 1

    @property
    def order(self) -> int:
        """Of the gradient of the numbers."""
        return 1

    @property
    def temperatures(self) -> tuple[float, float] | None:
        """The first and the last temperature of draws; None where nothing is drawn."""
        return None

    @property
    def deriving(self) -> DerivingOptions:
        """How a path is derived at the end."""
        return DerivingOptions()


# What has no meaning with one supernet of all paths, and why. Not at its default, it is refused.
_ONE_SUPERNET = "all paths are trained at once, in a mixed supernet"
_IDLE: dict[str, str] = {
    "num_paths": "an epoch derives one path",
    "passes": "an epoch is one pass",
    "restart_passes": "the rate falls once, over --search-epochs, to --final-rate",
    "evaluator": "the supernet has one head, and a path is scored as a whole",
    "max_params": _ONE_SUPERNET,
    "max_flops": _ONE_SUPERNET,
    "max_ram": _ONE_SUPERNET,
    "max_flash": _ONE_SUPERNET,
    "max_latency": _ONE_SUPERNET,
    "latency_table": _ONE_SUPERNET,
    "reward_power": "it learns from gradients, not from rewards",
    "target_params": "it learns from gradients, not from rewards",
    "target_flops": "it learns from gradients, not from rewards",
    "target_latency": "it learns from gradients, not from rewards",
    "grow_every": "its paths are whole from the first",
}


def require_differentiable(strategy: str, given: Mapping[str, Any], known: Mapping[str, Declared]) -> None:
    """ConfigError for options that contradict a differentiable strategy, or mean nothing with it.

    `given` are the values of all options, `known` their declarations.
    """
    if given["weights"] != "shared":
        raise ConfigError(
            f"weights are {given['weights']}, and strategy {strategy} learns from the gradient of one supernet; leave "
            f"out --weights, or choose another --strategy"
        )
    for name, why in _IDLE.items():
        if given[name] != known[name].default and not (name == "evaluator" and given[name] == "whole"):
            raise ConfigError(f"{known[name].flag} means nothing with --strategy {strategy}: {why}; leave it out")
    if given["min_layers"] != given["max_layers"]:
        raise ConfigError(
            f"min_layers is {given['min_layers']}, and with --strategy {strategy} all paths have max_layers, "
            f"{given['max_layers']}; leave out --min-layers"
        )
    if given["derive"] == "perturbation" and given["stop_early"] is not None:
        raise ConfigError(
            "--stop-early ends a search at one of its epochs, and --derive perturbation goes on behind the last; "
            "leave out one of them"
        )
