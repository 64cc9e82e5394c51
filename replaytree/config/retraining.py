"""The options of a retraining: how one chosen network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replaytree.config.option import Options, option, own
from replaytree.config.recipe import ClassWeights
from replaytree.errors import ConfigError

ScheduleName = Literal["one-cycle", "cosine", "constant"]
Padding = Literal["zeros", "reflect"]
PrecisionName = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class RetrainOptions(Options):
    """The full recipe. None: decided by the images and the device (Recipe.full)."""

    batch_size: int | None = option(
        None,
        "Images a training step.",
        "Training",
        least=2,
        unset="128, fewer for small sets; 256 or 512 on a GPU if images are many",
    )
    learning_rate: float | None = option(
        None,
        "Peak of the schedule.",
        "Training",
        above=0.0,
        unset="0.1, or 0.4 where a GPU has larger batches; a tenth without batch norm",
    )
    schedule: ScheduleName = option(
        "one-cycle", "one-cycle: up and down in straight lines; cosine: down from the peak; constant.", "Training"
    )
    lowest_rate: float = option(0.0, "cosine: where the learning rate ends.", "Training", least=0.0)
    restart_epochs: int | None = option(
        None, "cosine: epochs until the rate begins at its peak again.", "Training", least=1, unset="never"
    )
    restart_factor: float = option(
        2.0, "cosine: how much longer each cycle is than the one before.", "Training", least=1.0, most=1e3
    )
    momentum: float = option(0.9, "Momentum.", "Training", least=0.0, below=1.0)
    nesterov: bool = option(True, "Nesterov momentum.", "Training")
    grad_clip: float | None = option(None, "Longest gradient.", "Training", above=0.0, unset="any")
    weight_decay: float = option(5e-4, "Weight decay.", "Training", least=0.0, below=1.0)
    label_smoothing: float = option(0.1, "Label smoothing of the training loss.", "Training", least=0.0, below=1.0)
    class_weights: ClassWeights | None = option(
        None, "balanced: the loss of a rare class counts like that of a frequent one.", "Training", unset="none"
    )
    crop_padding: int | None = option(
        None, "Random crop after padding by this many pixels.", "Training", least=0, unset="the data set's own"
    )
    padding: Padding | None = option(
        None,
        "What images are padded with for the crop: zeros, or their own pixels, reflected.",
        "Training",
        unset="zeros; reflect on a GPU if images are many",
    )
    flip: bool | None = option(None, "Also train on mirror images.", "Training", unset="the data set's own")
    alternate_flip: bool | None = option(
        None,
        "Mirror each image in every other epoch, not at random.",
        "Training",
        unset="at random; in every other epoch on a GPU if images are many",
    )
    cutout: int | None = option(
        None,
        "Side of the square that is blanked, in pixels.",
        "Training",
        least=0,
        unset="a quarter of the shorter side; three eighths on a GPU if images are many",
    )
    average_share: float = option(
        0.02, "Average the weights over this last share of the steps.", "Training", least=0.0, below=1.0
    )
    compile: bool = option(
        False, "Let torch compile the network, which takes up to a minute: for long trainings on a GPU.", "Training"
    )
    precision: PrecisionName | None = option(
        None,
        "Numbers that convolutions and matrix products are computed with. bfloat16 saves time on a CPU that has it "
        "(see `doctor`), in dense convolutions of 32 channels or more.",
        "Training",
        unset="what a GPU is fast in; float32 on a CPU",
    )
    drop_path: float = option(
        0.0, "Drop parts of cells for each image at a rate that rises to this.", "Training", least=0.0, below=1.0
    )
    auxiliary_weight: float = option(
        0.0, "Weight of the loss of a second classifier inside the network, where its space has one.", "Training",
        least=0.0, most=1e3,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.schedule != "cosine":
            for name in ("lowest_rate", "restart_epochs"):
                if value := getattr(self, name):
                    raise ConfigError(
                        f"{name} is {value}, and the schedule is {self.schedule}; give --schedule cosine, or leave out "
                        f"{own(type(self))[name].flag}"
                    )
