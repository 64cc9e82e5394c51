"""Where the weights of a training come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from replaytree.config.option import Declared, Options, option
from replaytree.errors import ConfigError

WeightsName = Literal["fresh", "shared", "inherited"]

# What has no meaning where nothing is trained by itself, and why.
_EPOCHS = "a turn trains the supernet for --passes"
_OF_TRAININGS: dict[str, str] = {
    "epochs_first": _EPOCHS,
    "epochs_last": _EPOCHS,
    "reward_epochs": "a path is scored once a turn",
    "capture": "every step trains another network",
    "fuse": "batch norm of a supernet is torch's own",
}
_OF_INHERITED = ("keep_weights", "inherited_epochs")


@dataclass(frozen=True, kw_only=True)
class WeightOptions(Options):
    """Where the weights of a path come from, and how a supernet is trained, which holds the weights of all paths."""

    weights: WeightsName = option(
        "fresh",
        "fresh: each training starts anew; shared: a supernet has the weights of all paths; inherited: a training "
        "starts from the weights of its longest prefix that were kept.",
        "Training",
    )
    passes: float = option(
        1.0,
        "With shared weights: passes over the training images a turn, before its paths are scored.",
        "Training",
        above=0.0,
        most=1e6,
    )
    score_images: int | None = option(
        None,
        "With shared weights: validation images that score a path, others each turn; of a text, words in a row.",
        "Training",
        least=1,
        unset="all",
    )
    restart_passes: float | None = option(
        None,
        "With shared weights: the rate falls as a cosine, and begins anew after this many passes.",
        "Training",
        above=0.0,
        most=1e9,
        unset="the rate is constant",
    )
    restart_factor: float = option(
        2.0,
        "With --restart-passes: each fall takes this many times as long as the one before.",
        "Training",
        least=1.0,
        most=1e3,
    )
    lowest_rate: float = option(
        0.0, "With --restart-passes: the learning rate at the end of a fall.", "Training", least=0.0, most=1e6
    )
    supernet_clip: float | None = option(
        1.0,
        "With shared weights: the longest gradient of a path; longer ones are shortened to it; or 'none'.",
        "Training",
        above=0.0,
        most=1e12,
        unset_word="none",
    )
    keep_weights: int = option(
        16,
        "With inherited weights: how many prefixes' weights are kept, those of the best.",
        "Training",
        least=1,
        most=10_000,
    )
    inherited_epochs: float = option(
        0.5,
        "With inherited weights: share of its epochs that a training spends which starts from kept ones.",
        "Training",
        above=0.0,
        most=1.0,
    )

    @property
    def unit(self) -> str:
        """What budgets are counted in: epochs, or turns of the supernet."""
        return "turns" if self.weights == "shared" else "epochs"

    def counted(self, epochs: int) -> str:
        """A budget for people: '8 epochs', or '12 turns'."""
        return f"{epochs:,} {self.unit[:-1] if epochs == 1 else self.unit}"

    def measured(self, epochs: int) -> str:
        """When scores were measured, for people: 'at 8 epochs', or 'after 12 turns of the supernet'."""
        spent = self.counted(epochs)
        return f"after {spent} of the supernet" if self.weights == "shared" else f"at {spent}"


# What says how the rate falls, where it does.
_OF_RESTARTS = ("restart_factor", "lowest_rate")

DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(WeightOptions)}
"""The values of all its options where nothing outlives a training."""


def require_meaning(given: Mapping[str, Any], known: Mapping[str, Declared]) -> None:
    """ConfigError for an option that is given and means nothing with the weights that were chosen.

    `given` are the values of all options, `known` their declarations.
    """
    chosen = given["weights"]
    foreign = [e.name for e in fields(WeightOptions) if e.name != "weights" and _owner(e.name) != chosen]
    for name in [*foreign, *(_OF_TRAININGS if chosen == "shared" else ())]:
        if given[name] == known[name].default or given[name] is False:
            continue
        flag = known[name].flag
        if name in foreign:
            raise ConfigError(
                f"{flag} is an option of --weights {_owner(name)}, and weights are {chosen}; leave it out"
            )
        raise ConfigError(f"{flag} means nothing with --weights shared: {_OF_TRAININGS[name]}; leave it out")
    if chosen == "shared" and given["restart_passes"] is None:
        for name in _OF_RESTARTS:
            if given[name] != known[name].default:
                flag, wanted = known[name].flag, known["restart_passes"].flag
                raise ConfigError(f"{flag} says how the rate falls, and it is constant; give {wanted}, too")


def _owner(name: str) -> WeightsName:
    """The weights that an option is of."""
    return "inherited" if name in _OF_INHERITED else "shared"
