"""Predict picture files: find them, read them, and name those that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from replaytree.data import match_channels, read_images
from replaytree.data.names import as_text
from replaytree.data.walk import Walk
from replaytree.deliver.model import Model
from replaytree.errors import ConfigError, DataError

_CHUNK = 512


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most probable classes of one picture, best first, with their probabilities."""

    file: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What was predicted, and the files that could not be read, each with the reason in `why`."""

    readable: tuple[Prediction, ...]
    unreadable: tuple[Path, ...]
    why: tuple[str, ...] = ()


def find_pictures(given: Path) -> list[Path]:
    """A file as it is; of a folder all pictures in and below it, sorted. DataError for a folder without pictures."""
    if not given.is_dir():
        return [given]
    (found,) = Walk(given).below([given])
    if not found.pictures and not found.unreadable:
        raise DataError(f"{as_text(given)} has no images in it or below it")
    return sorted(Path(file) for file in (*found.pictures, *(file for file, _ in found.unreadable)))


def predict_pictures(model: Model, files: Sequence[Path], *, top_k: int = 1) -> Predictions:
    """The `top_k` classes of every readable file, each resized as the model's training images were."""
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k}; it must be at least 1 (--top-k)")
    channels, height, width = model.description.input_shape
    readable: list[Prediction] = []
    unreadable: dict[Path, str] = {}
    for start in range(0, len(files), _CHUNK):
        part = files[start : start + _CHUNK]
        decoded = read_images(
            part, sides=(height, width), resize=model.description.resize, ranges=model.description.ranges
        )
        probabilities_NK = model.predict_proba(match_channels(torch.from_numpy(decoded.images_NCHW), channels))
        for position, (file, probabilities_K) in enumerate(zip(part, probabilities_NK, strict=True)):
            if position in decoded.bad:
                unreadable[file] = decoded.bad[position]
                continue
            order = (-probabilities_K).argsort(kind="stable")[:top_k]
            readable.append(
                Prediction(
                    file,
                    tuple(model.classes[index] for index in order),
                    tuple(float(probabilities_K[index]) for index in order),
                )
            )
    return Predictions(tuple(readable), tuple(unreadable), tuple(unreadable.values()))
