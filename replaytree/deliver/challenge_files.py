"""AddNIST, MultNIST and Cifartile as files. Their test part is made of that of their source, and the rest of the rest.

This reads test images, and so it stands here: by the one door, and for no search.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from replaytree.data import load_data
from replaytree.data.array_files import ARRAYS
from replaytree.data.challenge import CHALLENGES, Challenge, composed
from replaytree.deliver.test_split import read_test
from replaytree.deliver.writing import not_written, require_target
from replaytree.errors import ConfigError

Parts = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True)
class MadeData:
    """What was written."""

    out: Path
    name: str
    counts: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def text(self) -> str:
        """As a sentence."""
        challenge, (train, val, test) = CHALLENGES[self.name], self.counts
        shape = "x".join(map(str, self.shape))
        return (
            f"{self.out}: {train:,} train, {val:,} validation and {test:,} test images of {shape}, made of "
            f"{challenge.source}: {challenge.rule}"
        )


def make_data(
    name: str, out: Path, *, images: int | None = None, seed: int = 0, data_dir: str | None = None, force: bool = False
) -> MadeData:
    """Write a data set of CHALLENGES to a .npz file, or as pictures into a new folder.

    `images` are those for training and validation, in the published proportion; None: as many as were published. No
    image of the source is in two parts. ConfigError for a name or a place that cannot be used, DataError where the
    source is not there.
    """
    challenge = CHALLENGES.get(name)
    if challenge is None:
        raise ConfigError(f"{name!r} is no data set that can be made; choose one of {', '.join(CHALLENGES)}")
    counts = _counts(challenge, images)
    write = _writer(out, force=force)
    train, val, _ = challenge.counts
    data = load_data(challenge.source, data_dir=data_dir, val_fraction=val / (train + val), seed=seed)
    tested = read_test(challenge.source, data, data_dir=data_dir)
    if tested is None:
        raise ConfigError(
            f"{challenge.source} has no test part here; copy it whole, or say where it is with --data-dir"
        )
    sources = {
        "train": (data.train_images, data.train_labels),
        "val": (data.val_images, data.val_labels),
        "test": (tested.images_NCHW, tested.labels_N),
    }
    parts = {}
    for number, (part, (images_NCHW, labels_N)) in enumerate(sources.items()):
        parts[part] = composed(
            challenge, images_NCHW.numpy(), labels_N.numpy(), per_class=counts[number] // challenge.classes,
            rng=np.random.default_rng((seed, number)),
        )  # fmt: skip
    write(parts)
    channels, rows, columns = parts["train"][0].shape[1:]
    made = tuple(len(labels_N) for _, labels_N in parts.values())
    return MadeData(out, name, (made[0], made[1], made[2]), (channels, rows, columns))


def _counts(challenge: Challenge, images: int | None) -> tuple[int, int, int]:
    train, val, test = challenge.counts
    if images is None:
        return challenge.counts
    # An image a class in validation, and two in training.
    least = -(-challenge.classes * (train + val) // val)
    if images < least:
        raise ConfigError(f"images is {images}; {challenge.classes} classes need at least {least} (--images)")
    if images > train + val:
        raise ConfigError(f"images is {images}; {train + val} were published, and more are not made (--images)")
    own = images * val // (train + val)
    return images - own, own, test


def _writer(out: Path, *, force: bool) -> Callable[[Parts], None]:
    """What writes the parts to `out`; ConfigError, before the work, for a place that cannot be written."""
    if out.suffix.lower() == ARRAYS:
        require_target(out, force=force)
        return lambda parts: _write_arrays(out, parts)
    if out.suffix:
        raise ConfigError(f"out is {out}; give a name that ends in {ARRAYS}, or that of a new folder (--out)")
    if out.exists():
        raise ConfigError(f"{out} exists; give the name of a new folder (--out)")
    return lambda parts: _write_pictures(out, parts)


def _write_arrays(out: Path, parts: Parts) -> None:
    draft = out.with_name(f".replaytree-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    arrays: dict[str, Any] = {f"{axis}_{part}": pair[k] for part, pair in parts.items() for k, axis in enumerate("xy")}
    try:
        with draft.open("xb") as stream:
            np.savez(stream, **arrays)
        os.replace(draft, out)
    except OSError as error:
        raise not_written(out, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _write_pictures(out: Path, parts: Parts) -> None:
    try:
        for part, (images_NCHW, labels_N) in parts.items():
            for label in np.unique(labels_N):
                (out / part / str(label)).mkdir(parents=True)
            for number, (image_CHW, label) in enumerate(zip(images_NCHW, labels_N, strict=True)):
                Image.fromarray(image_CHW.transpose(1, 2, 0)).save(out / part / str(label) / f"{number:05}.png")
    except OSError as error:
        raise not_written(out, error) from error
