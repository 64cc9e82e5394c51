"""AddNIST, MultNIST and Cifartile, as their authors describe them: images put together of others, labelled by a rule.

Towers, Geada, Atapour-Abarghouei and McGough, Insights from the Use of Previously Unseen Neural Architecture Search
Datasets (CVPR 2024), and the pages of the data sets at data.ncl.ac.uk (24574354, 24574678, 24551539). Every class has
as many images, in every part. The originals were drawn from the same images by draws that are not published.

Shapes: N images, S images that one is made of, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from replaytree.errors import DataError

_DRAWN_AT_ONCE = 1 << 18
# The rarest class of the three, a sum of 1, takes one draw in about 330; after so many there is none.
_MOST_DRAWS = 1 << 24


@dataclass(frozen=True, slots=True)
class Challenge:
    """A data set made of another, `source`; one image is made of `size` of its images.

    `label` gives the label of labels (N, S), -1 for none; `compose` makes images (N, C, H, W) of images
    (N, S, C, H, W). `counts` are the published numbers of train, validation and test images.
    """

    source: str
    size: int
    classes: int
    counts: tuple[int, int, int]
    label: Callable[[np.ndarray], np.ndarray]
    compose: Callable[[np.ndarray], np.ndarray]
    rule: str


def _sum(labels_NS: np.ndarray) -> np.ndarray:
    sums_N = labels_NS.sum(axis=1) - 1
    return np.where(sums_N < 20, sums_N, -1)


def _product(labels_NS: np.ndarray) -> np.ndarray:
    last_N: np.ndarray = labels_NS.prod(axis=1) % 10
    return last_N


def _kinds(labels_NS: np.ndarray) -> np.ndarray:
    sorted_NS = np.sort(labels_NS, axis=1)
    kinds_N: np.ndarray = (np.diff(sorted_NS, axis=1) != 0).sum(axis=1)
    return kinds_N


def _channels(images_NS1HW: np.ndarray) -> np.ndarray:
    return images_NS1HW[:, :, 0]


def _tiles(images_N4CHW: np.ndarray) -> np.ndarray:
    rows = [np.concatenate([images_N4CHW[:, k], images_N4CHW[:, k + 1]], axis=3) for k in (0, 2)]
    return np.concatenate(rows, axis=2)


CHALLENGES: dict[str, Challenge] = {
    "addnist": Challenge(
        "mnist", 3, 20, (45_000, 15_000, 10_000), _sum, _channels,
        "three digits as red, green and blue; the label is their sum less 1, of 20",
    ),
    "multnist": Challenge(
        "mnist", 3, 10, (50_000, 10_000, 10_000), _product, _channels,
        "three digits as red, green and blue; the label is the last digit of their product",
    ),
    "cifartile": Challenge(
        "cifar10", 4, 4, (45_000, 15_000, 10_000), _kinds, _tiles,
        "four images in two rows; the label is the number of their classes less 1",
    ),
}  # fmt: skip


def composed(
    challenge: Challenge, images_NCHW: np.ndarray, labels_N: np.ndarray, *, per_class: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, `per_class` of each class in random order, made of images that are drawn again and again.

    DataError where the classes of the images cannot make a class.
    """
    chosen_MS = _drawn(challenge, labels_N, per_class=per_class, rng=rng)
    chosen_MS = chosen_MS[rng.permutation(len(chosen_MS))]
    sample_MCHW = challenge.compose(images_NCHW[chosen_MS[:1]])
    made_MCHW = np.empty((len(chosen_MS), *sample_MCHW.shape[1:]), dtype=np.uint8)
    # In pieces: of whole Cifartile the parts alone take a gigabyte.
    for start in range(0, len(chosen_MS), 1024):
        made_MCHW[start : start + 1024] = challenge.compose(images_NCHW[chosen_MS[start : start + 1024]])
    return made_MCHW, challenge.label(labels_N[chosen_MS])


def _drawn(challenge: Challenge, labels_N: np.ndarray, *, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (M, S) of the images that each is made of, class by class."""
    found: list[list[np.ndarray]] = [[] for _ in range(challenge.classes)]
    lacking = np.full(challenge.classes, per_class)
    drawn = 0
    while lacking.any():
        if drawn >= max(_MOST_DRAWS, 1000 * per_class * challenge.classes):
            raise DataError(
                f"no {challenge.size} of the {len(labels_N)} images make class {int(np.argmax(lacking > 0))}; they "
                f"lack classes of {challenge.source}"
            )
        some_DS = rng.integers(len(labels_N), size=(_DRAWN_AT_ONCE, challenge.size))
        drawn += len(some_DS)
        labels_D = challenge.label(labels_N[some_DS])
        for label in np.flatnonzero(lacking):
            own_DS = some_DS[labels_D == label][: lacking[label]]
            found[label].append(own_DS)
            lacking[label] -= len(own_DS)
    return np.concatenate([part for parts in found for part in parts])
