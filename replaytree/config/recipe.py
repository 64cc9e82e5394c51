"""How each network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replaytree.config.option import Options, option

ClassWeights = Literal["balanced"]
EvaluatorName = Literal["joint", "separate", "whole"]


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Options):
    """The training of a path. None: the data set's own augmentation; batches by device and number of images."""

    evaluator: EvaluatorName | None = option(
        None,
        "joint: one training scores all prefixes; separate: one training a prefix; whole: one of the whole path alone.",
        "Training",
        unset="joint; whole where the network of a prefix is no part of its continuations'",
    )
    batch_size: int | None = option(
        None,
        "Images a training step; of a text, the columns that it is read in side by side.",
        "Training",
        least=1,
        unset="64; up to 512 on a GPU if images are many; 20 columns, fewer of short texts",
    )
    learning_rate: float | None = option(
        None,
        "Peak of the one-cycle schedule; on text the rate is constant.",
        "Training",
        above=0.0,
        most=1e6,
        unset="0.1, up to 0.4 if batches are large; a tenth without batch norm; 0.3 with shared weights; 0.025 with "
        "darts and gdas; 0.1 with pc-darts; 20 on text",
    )
    momentum: float = option(0.9, "Nesterov momentum.", "Training", least=0.0, most=1.0)
    weight_decay: float = option(5e-4, "Weight decay of the trained networks.", "Training", least=0.0, most=1e6)
    label_smoothing: float = option(0.1, "Label smoothing of the training loss.", "Training", least=0.0, most=1.0)
    class_weights: ClassWeights | None = option(
        None, "balanced: the loss of a rare class counts like that of a frequent one.", "Training", unset="none"
    )
    crop_padding: int | None = option(
        None,
        "Random crop after padding by this many pixels.",
        "Training",
        least=0,
        most=4096,
        unset="the data set's own",
    )
    flip: bool | None = option(None, "Random horizontal flip.", "Training", unset="the data set's own")
