"""Options of a retraining as typed keywords. Made by `python -m replaytree.cli.reference`: do not edit."""

from __future__ import annotations

from typing import Literal, TypedDict


class RetrainKeywords(TypedDict, total=False):
    """What best_model takes beside its own parameters."""

    batch_size: int | None
    """Images a training step."""

    learning_rate: float | None
    """Peak of the schedule."""

    schedule: Literal["one-cycle", "cosine", "constant"]
    """one-cycle: up and down in straight lines; cosine: down from the peak; constant."""

    lowest_rate: float
    """cosine: where the learning rate ends."""

    restart_epochs: int | None
    """cosine: epochs until the rate begins at its peak again."""

    restart_factor: float
    """cosine: how much longer each cycle is than the one before."""

    momentum: float
    """Momentum."""

    nesterov: bool
    """Nesterov momentum."""

    grad_clip: float | None
    """Longest gradient."""

    weight_decay: float
    """Weight decay."""

    label_smoothing: float
    """Label smoothing of the training loss."""

    class_weights: Literal["balanced"] | None
    """balanced: the loss of a rare class counts like that of a frequent one."""

    crop_padding: int | None
    """Random crop after padding by this many pixels."""

    padding: Literal["zeros", "reflect"] | None
    """What images are padded with for the crop: zeros, or their own pixels, reflected."""

    flip: bool | None
    """Also train on mirror images."""

    alternate_flip: bool | None
    """Mirror each image in every other epoch, not at random."""

    cutout: int | None
    """Side of the square that is blanked, in pixels."""

    average_share: float
    """Average the weights over this last share of the steps."""

    compile: bool
    """Let torch compile the network, which takes up to a minute: for long trainings on a GPU."""

    precision: Literal["float32", "bfloat16"] | None
    """Numbers that convolutions and matrix products are computed with. bfloat16 saves time on a CPU that has it
    (see `doctor`), in dense convolutions of 32 channels or more."""

    drop_path: float
    """Drop parts of cells for each image at a rate that rises to this."""

    auxiliary_weight: float
    """Weight of the loss of a second classifier inside the network, where its space has one."""
