"""Retraining options under one name: the recipe that a published system trains its networks with at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replaytree.errors import ConfigError

USUAL_EPOCHS = 30
USUAL_CUTOUT = 0.25
# On a GPU, where images are many (retrains_large in training/recipe.py): CIFAR-10 takes about a second an epoch there
# (reports/benchmarks/gpu.md), and the longer a training is, the more augmentation it bears.
GPU_EPOCHS = 100
GPU_CUTOUT = 0.375


@dataclass(frozen=True, slots=True)
class FinalRecipe:
    """Values of RetrainOptions by name, and epochs. `deviations` says what is not as published.

    `cutout_share` is the side of the blanked square, as a share of the images' shorter side: 16 of 32 pixels are half.
    No device changes any of them.
    """

    about: str
    epochs: int
    options: Mapping[str, Any]
    cutout_share: float = USUAL_CUTOUT
    deviations: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """What it is, and each deviation."""
        return f"{self.about} Not as published: {'; '.join(self.deviations)}."


_PLAIN: dict[str, Any] = {
    "schedule": "cosine", "label_smoothing": 0.0, "average_share": 0.0, "padding": "zeros", "alternate_flip": False,
}  # fmt: skip
_BY_STEP = "rates of learning and of drop-path change by the step, not by the epoch"
_OWN_IMAGES = "images are shifted and mirrored as is usual for their data set (CIFAR-10: as published)"

FINAL_RECIPES: dict[str, FinalRecipe] = {
    "darts-final": FinalRecipe(
        about="as DARTS trains its cells, 600 epochs.",
        epochs=600,
        options={
            **_PLAIN, "batch_size": 96, "learning_rate": 0.025, "nesterov": False, "weight_decay": 3e-4,
            "grad_clip": 5.0, "drop_path": 0.2, "auxiliary_weight": 0.4,
        },
        cutout_share=0.5,
        deviations=(_BY_STEP, "on other images than 32x32, cutout blanks half a side", _OWN_IMAGES),
    ),
    "enas-final": FinalRecipe(
        about="as ENAS trains its micro network, 630 epochs, cosines of 10, 20, 40 ... epochs.",
        epochs=630,
        options={
            **_PLAIN, "batch_size": 144, "learning_rate": 0.05, "lowest_rate": 1e-4, "restart_epochs": 10,
            "restart_factor": 2.0, "weight_decay": 4e-4, "drop_path": 0.4, "auxiliary_weight": 0.4, "cutout": 0,
        },
        deviations=(
            "its L2 term of 2e-4 has no 1/2, which is this weight decay of 4e-4",
            "the auxiliary classifier learns, whose own weights it left as they began",
            "no dropout before the classifier (it keeps 0.8)",
            _BY_STEP,
            "a cycle has its own length from its first step on",
            _OWN_IMAGES,
            "no cutout, as in its scripts; --cutout 16 for the paper's 2.89 %",
            "its macro network had --epochs 310 --batch-size 100 --lowest-rate 0.001, no drop-path and no second "
            "classifier",
        ),
    ),
    "amoebanet-final": FinalRecipe(
        about="as AmoebaNet-A was trained, 600 epochs.",
        epochs=600,
        options={
            **_PLAIN, "batch_size": 128, "learning_rate": 0.024, "nesterov": False, "weight_decay": 5e-4,
            "drop_path": 0.3, "auxiliary_weight": 0.5, "cutout": 0,
        },
        deviations=(
            "gradients are not clipped and labels not smoothed, of which we know no figure",
            _BY_STEP,
            _OWN_IMAGES,
        ),
    ),
}  # fmt: skip


def final_recipe(name: str) -> FinalRecipe:
    """The recipe of that name; ConfigError for a name that there is not."""
    if name not in FINAL_RECIPES:
        raise ConfigError(f"preset is {name!r:.80}; it must be one of {', '.join(FINAL_RECIPES)} (--preset)")
    return FINAL_RECIPES[name]


def with_final(name: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options given, and those of a recipe that are not given."""
    return dict(given) if name is None else {**final_recipe(name).options, **given}
