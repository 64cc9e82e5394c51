"""Exports in 8-bit whole numbers: what they are made with, and how much accuracy they may lose.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from torch import Tensor

from replaytree.data import ImageData, stratified_subset
from replaytree.deliver.deployed import Deployed, accuracy, batched_logits
from replaytree.deliver.description import Accuracies, Description
from replaytree.deliver.onnx_int8 import OnnxInt8
from replaytree.deliver.tflite_int8 import TfliteInt8
from replaytree.deliver.verification import Calibrated, Verification
from replaytree.errors import ConfigError, ModelError
from replaytree.sources.names import count_of

INT8_FLAGS = "--calibration-images, --max-drop and --accept-drop"


class Quantised(Protocol):
    """A network in whole numbers, made from one in float and the images on which ranges are found."""

    def logits(self, images_NCHW: Tensor, description: Description) -> Tensor:
        """What it answers to bytes (N, C, H, W): float32 (N, K)."""
        ...

    def content(self, description: Description, note: str) -> bytes:
        """The file, with a note on how good it is."""
        ...


FORMS: Mapping[str, Callable[[Deployed, Tensor], Quantised]] = {"onnx-int8": OnnxInt8, "tflite": TfliteInt8}

CALIBRATION_IMAGES = 256
MAX_DROP = 0.01
# Ranges of fewer images say little of others.
LEAST_CALIBRATION = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Options:
    """`calibration_images`: training images on which the range of every tensor is found; None: 256, or all if fewer.

    An export that loses more than `max_drop` of the accuracy on the validation images is refused, unless
    `accept_drop`. ConfigError for values that cannot be used.
    """

    calibration_images: int | None = None
    max_drop: float = MAX_DROP
    accept_drop: bool = False

    def __post_init__(self) -> None:
        images = self.calibration_images
        if images is not None and images < LEAST_CALIBRATION:
            raise ConfigError(
                f"calibration_images is {images}; it must be at least {LEAST_CALIBRATION} (--calibration-images)"
            )
        if not 0.0 <= self.max_drop <= 1.0:
            raise ConfigError(
                f"max_drop is {self.max_drop}; it must be a fraction from 0 to 1, as in 0.01 (--max-drop)"
            )

    def calibration(self, data: ImageData) -> Tensor:
        """Training images (N, C, H, W), every class in proportion; ConfigError where there are too few."""
        count = data.train_count
        least = max(LEAST_CALIBRATION, data.num_classes)
        if count < least:
            raise ConfigError(
                f"int8 needs {least} training images to find the range of every tensor, and there are {count}; add "
                f"images, or choose --format onnx"
            )
        wanted = min(max(CALIBRATION_IMAGES, least), count) if self.calibration_images is None else self._given(count)
        if wanted < least:
            raise ConfigError(
                f"calibration_images is {wanted}, and each of the {data.num_classes} classes needs an image; give "
                f"--calibration-images {least} or more"
            )
        return data.train_images[stratified_subset(data.train_labels.cpu(), wanted, seed=0)].cpu()

    def _given(self, count: int) -> int:
        wanted = self.calibration_images or 0
        if wanted > count:
            raise ConfigError(
                f"calibration_images is {wanted:,}, and there are {count:,} training images; give "
                f"--calibration-images {count} or fewer"
            )
        return wanted


def int8_export(
    out: Path, network: Deployed, description: Description, data: ImageData, *, form: str, options: Int8Options
) -> tuple[bytes, Verification]:
    """The content of a file for `out`, of a form of FORMS, verified.

    ModelError where it loses more accuracy than the options allow. Its description has no accuracies: those of the
    network that was trained are not its own.
    """
    images_NCHW = options.calibration(data)
    quantised = FORMS[form](network, images_NCHW)
    own = replace(description, plain=Accuracies(), mirrored=Accuracies())
    expected_NK = batched_logits(network, data.val_images.cpu(), batch=network.batch)
    found_NK = quantised.logits(data.val_images.cpu(), own)
    with_validation = description.test_accuracy is not None
    verification = Verification(
        files=(out,),
        description=description,
        nbytes=0,
        images=len(data.val_labels),
        model_accuracy=accuracy(expected_NK, data.val_labels),
        export_accuracy=accuracy(found_NK, data.val_labels),
        differing_predictions=int((expected_NK.argmax(dim=1) != found_NK.argmax(dim=1)).sum()),
        largest_difference=float((expected_NK - found_NK).abs().max()),
        calibrated=Calibrated(len(images_NCHW), verified_on_trained=with_validation),
    )
    _require_small_drop(verification, options)
    content = quantised.content(own, _note(verification, with_validation=with_validation))
    return content, replace(verification, nbytes=len(content))


def _require_small_drop(found: Verification, options: Int8Options) -> None:
    # Counted in images, because 0.71 - 0.70 is a little over 0.01.
    lost = round(found.drop * found.images)
    if lost <= options.max_drop * found.images + 1e-9 or options.accept_drop:
        return
    metric = found.description.metric
    raise ModelError(
        f"in int8 the network has accuracy {metric.shown(found.export_accuracy)} on the {found.images} validation "
        f"images, and {metric.shown(found.model_accuracy)} in float: it loses {metric.points(found.drop)}, which "
        f"is {count_of(lost, 'image')} and more than --max-drop {options.max_drop:g}; nothing was written. Give more "
        f"--calibration-images, or --accept-drop"
    )


def _note(found: Verification, *, with_validation: bool) -> str:
    assert found.calibrated is not None, "an int8 file is calibrated"
    return json.dumps(
        {
            "accuracy": found.export_accuracy,
            "calibration_images": found.calibrated.images,
            "float_accuracy": found.model_accuracy,
            "images": found.images,
            "measured_on": "validation images, trained on" if with_validation else "validation images, held out",
        },
        sort_keys=True,
    )
