"""The full recipe: how a network is trained once it has been chosen."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from replaytree.data import ImageData
from replaytree.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FullRecipe:
    """SGD with Nesterov momentum under a one-cycle schedule, augmentation, label smoothing, averaged weights.

    `crop_padding` and `cutout` are pixels; `cutout` is the side of the square that is blanked, 0 for none.
    The final weights are an exponential moving average over about `average_share` of all steps. `mirror` changes no
    weight: the trained model predicts from an image and its mirror image, and its accuracy is reported that way.
    """

    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    crop_padding: int = 0
    flip: bool = False
    cutout: int = 0
    average_share: float = 0.02
    mirror: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("crop_padding", 0), ("cutout", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"{name} is {value!r}; it must be a whole number of at least {least} ({_option(name)})"
                )
        for name in ("momentum", "weight_decay", "label_smoothing", "average_share"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise ConfigError(f"{name} is {value!r}; it must be at least 0 and less than 1 ({_option(name)})")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0.0):
            raise ConfigError(
                f"learning_rate is {self.learning_rate!r}; it must be over 0 ({_option('learning_rate')})"
            )

    @classmethod
    def of(cls, data: ImageData, **options: Any) -> FullRecipe:
        """The recipe, with the data set's own augmentation if an option is missing or None; cutout is a quarter.

        A batch is a fiftieth of the training images, but 16 to 128, so that an epoch of a small set has enough steps.
        """
        given = {name: value for name, value in options.items() if value is not None}
        side = min(data.image_shape[1:])
        own: dict[str, Any] = {"crop_padding": data.crop_padding, "flip": data.flip, "cutout": side // 4}
        own["batch_size"] = max(16, min(128, len(data.train_labels) // 50))
        return cls(**{**own, **given})

    def values(self) -> dict[str, Any]:
        """As plain values, for a checkpoint and a model file."""
        return asdict(self)


def one_cycle(step: int, steps: int, *, peak: float, warm_up: float = 0.25) -> float:
    """The learning rate of step 0..steps - 1: linear from peak / 25 to the peak at `warm_up`, then linear to 0.

    After "Super-Convergence" (Smith and Topin, 2018), with two linear legs.
    """
    turn = max(1.0, warm_up * steps)
    if step < turn:
        return peak * (1 / 25 + (1 - 1 / 25) * step / turn)
    return peak * (steps - step) / max(1.0, steps - turn)


def average_decay(step: int, steps: int, *, share: float) -> float:
    """The decay of the weight average after `step` + 1 steps: 1 - 1 / horizon, the horizon `share` of all steps.

    The horizon is never longer than the steps so far, so that the random start is forgotten.
    """
    horizon = max(1.0, min(share * steps, (step + 1) / 2))
    return 1.0 - 1.0 / horizon


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
