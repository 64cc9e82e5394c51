"""Predict files of pictures and arrays: find them, read them, and name those that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from replaytree.data import match_channels, read_images
from replaytree.data.array_files import ARRAY, ARRAYS, image_arrays
from replaytree.data.walk import Walk
from replaytree.deliver.model import Model
from replaytree.errors import ConfigError, DataError
from replaytree.sources.names import as_text

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
    """The `top_k` classes of every readable file, each resized as the model's training images were.

    A .npy or .npz file holds many images, as for from_arrays(); they are called data.npy[0], data.npy[1], ..., and
    those of a .npz with several arrays of images data.npz:x_test[0], ...
    """
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k}; it must be at least 1 (--top-k)")
    readable: list[Prediction] = []
    unreadable: dict[Path, str] = {}
    arrays, pictures = ([file for file in files if is_array(file) == wanted] for wanted in (True, False))
    for file in arrays:
        try:
            for place, images in image_arrays(file):
                found, why = _of_array(model, file.parent / place, images, top_k=top_k)
                readable += found
                unreadable |= why
        except DataError as error:
            unreadable[file] = str(error)
    for start in range(0, len(pictures), _CHUNK):
        part = pictures[start : start + _CHUNK]
        probabilities_NK, bad = _picture_probabilities(model, part)
        for position, (file, probabilities_K) in enumerate(zip(part, probabilities_NK, strict=True)):
            if position in bad:
                unreadable[file] = bad[position]
            else:
                readable.append(_prediction(model, file, probabilities_K, top_k=top_k))
    return Predictions(tuple(readable), tuple(unreadable), tuple(unreadable.values()))


def _of_array(model: Model, place: Path, images: np.ndarray, *, top_k: int) -> tuple[list[Prediction], dict[Path, str]]:
    """The predictions of the images of one array, or why there are none."""
    try:
        probabilities_NK = model.predict_proba(images)
    except DataError as error:
        return [], {place: str(error)}
    names = [place.with_name(f"{place.name}[{number}]") for number in range(len(probabilities_NK))]
    return [_prediction(model, *each, top_k=top_k) for each in zip(names, probabilities_NK, strict=True)], {}


def _picture_probabilities(model: Model, files: Sequence[Path]) -> tuple[np.ndarray, Mapping[int, str]]:
    """(N, K), and by position why some cannot be read."""
    described = model.description
    channels, rows, columns = described.input_shape
    decoded = read_images(files, sides=(rows, columns), resize=described.resize, ranges=described.ranges)
    images_NCHW = match_channels(torch.from_numpy(decoded.images_NCHW), channels)
    return model.predict_proba(images_NCHW), decoded.bad


def _prediction(model: Model, file: Path, probabilities_K: np.ndarray, *, top_k: int) -> Prediction:
    order = (-probabilities_K).argsort(kind="stable")[:top_k]
    return Prediction(
        file,
        tuple(model.classes[index] for index in order),
        tuple(float(probabilities_K[index]) for index in order),
    )


def is_array(file: Path) -> bool:
    """Whether a file holds arrays, by its name."""
    return file.suffix.lower() in (ARRAY, ARRAYS)
