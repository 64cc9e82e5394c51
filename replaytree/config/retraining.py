"""The options of a retraining: how one chosen network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option


@dataclass(frozen=True, kw_only=True)
class RetrainOptions(Options):
    """The full recipe. None: decided by the images (Recipe.full)."""

    batch_size: int | None = option(
        None, "Images a training step.", "Training", least=2, unset="128, fewer for small sets"
    )
    learning_rate: float | None = option(
        None, "Peak of the one-cycle schedule.", "Training", above=0.0, unset="0.1; 0.01 without batch norm"
    )
    momentum: float = option(0.9, "Nesterov momentum.", "Training", least=0.0, below=1.0)
    weight_decay: float = option(5e-4, "Weight decay.", "Training", least=0.0, below=1.0)
    label_smoothing: float = option(0.1, "Label smoothing of the training loss.", "Training", least=0.0, below=1.0)
    crop_padding: int | None = option(
        None, "Random crop after padding by this many pixels.", "Training", least=0, unset="the data set's own"
    )
    flip: bool | None = option(None, "Also train on mirror images.", "Training", unset="the data set's own")
    cutout: int | None = option(
        None, "Side of the square that is blanked, in pixels.", "Training", least=0, unset="a quarter"
    )
    average_share: float = option(
        0.02, "Average the weights over this last share of the steps.", "Training", least=0.0, below=1.0
    )
