"""Predicting picture files: which there are, which cannot be read, and what the others show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.datasets.folder import IMG_EXTENSIONS

from replaytree.data import match_channels, read_images
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
    """What was predicted, and the files that could not be read."""

    readable: tuple[Prediction, ...]
    unreadable: tuple[Path, ...]


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """Files as they are; of a folder all pictures in and below it, sorted. DataError for what has or is none."""
    if not inputs:
        raise DataError("no images were given; name files or folders")
    files: list[Path] = []
    for given in inputs:
        if given.is_dir():
            found = sorted(_pictures_below(given))
            if not found:
                raise DataError(f"{given} has no images ({', '.join(IMG_EXTENSIONS)}) in it or below it")
            files += found
        elif given.exists():
            files.append(given)
        else:
            raise DataError(f"there is no file or folder {given}")
    return files


def predict_pictures(model: Model, files: Sequence[Path], *, top_k: int = 1) -> Predictions:
    """The `top_k` classes of every file that can be read, each resized to the model's square of pixels."""
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k}; it must be at least 1 (--top-k)")
    channels, height, width = model.description.input_shape
    if height != width:
        raise ConfigError(
            f"this model takes {height}x{width} pixels, which is no square; predict arrays with replaytree.load(...)"
        )
    readable: list[Prediction] = []
    unreadable: list[Path] = []
    for start in range(0, len(files), _CHUNK):
        part = files[start : start + _CHUNK]
        decoded = read_images(part, image_size=height)
        probabilities_NK = model.predict_proba(match_channels(torch.from_numpy(decoded.images_NCHW), channels))
        for position, (file, probabilities_K) in enumerate(zip(part, probabilities_NK, strict=True)):
            if position in decoded.bad:
                unreadable.append(file)
                continue
            order = (-probabilities_K).argsort(kind="stable")[:top_k]
            readable.append(
                Prediction(
                    file,
                    tuple(model.classes[index] for index in order),
                    tuple(float(probabilities_K[index]) for index in order),
                )
            )
    return Predictions(tuple(readable), tuple(unreadable))


def _pictures_below(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.suffix.lower() in IMG_EXTENSIONS and not file.name.startswith(".") and file.is_file():
            yield file
