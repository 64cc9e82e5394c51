"""Where the weights of a training come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from replaytree.config.option import Declared, Options, option
from replaytree.errors import ConfigError

WeightsName = Literal["fresh", "shared"]

# What has no meaning where nothing is trained by itself, and why.
_EPOCHS = "a turn trains the supernet for --passes"
_OF_TRAININGS: dict[str, str] = {
    "epochs_first": _EPOCHS,
    "epochs_last": _EPOCHS,
    "reward_epochs": "a path is scored once a turn",
    "capture": "every step trains another network",
}


@dataclass(frozen=True, kw_only=True)
class WeightOptions(Options):
    """Where the weights of a path come from, and how a supernet is trained, which holds the weights of all paths."""

    weights: WeightsName = option(
        "fresh",
        "fresh: each training starts anew; shared: a supernet has the weights of all paths.",
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
        "With shared weights: validation images that score a path, others each turn.",
        "Training",
        least=1,
        unset="all",
    )


def require_meaning(given: Mapping[str, Any], known: Mapping[str, Declared]) -> None:
    """ConfigError for an option that is given and means nothing with the weights that were chosen.

    `given` are the values of all options, `known` their declarations.
    """
    shared = given["weights"] == "shared"
    for name in _OF_TRAININGS if shared else [each.name for each in fields(WeightOptions) if each.name != "weights"]:
        if given[name] == known[name].default or given[name] is False:
            continue
        flag = known[name].flag
        if shared:
            raise ConfigError(f"{flag} means nothing with --weights shared: {_OF_TRAININGS[name]}; leave it out")
        raise ConfigError(f"{flag} is an option of --weights shared, and weights are {given['weights']}; leave it out")
