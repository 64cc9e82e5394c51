"""What AddNIST, MultNIST and Cifartile are made of, by hand."""

import numpy as np
import pytest

from replaytree.data.challenge import CHALLENGES, composed
from replaytree.errors import DataError

# Image k shows class k % 10: each pixel has the value 10 * copy + class.
LABELS = np.arange(50) % 10
GREY = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
COLOUR = np.repeat(GREY, 3, axis=1)


def made(name, images, *, per_class=6, seed=0):
    return composed(CHALLENGES[name], images, LABELS, per_class=per_class, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("name", "digits", "expected"),
    [
        ("addnist", [[3, 7, 4], [0, 0, 1], [9, 9, 2], [9, 9, 3], [0, 0, 0]], [13, 0, 19, -1, -1]),
        ("multnist", [[3, 7, 4], [0, 9, 9], [9, 9, 9], [5, 5, 5]], [4, 0, 9, 5]),
        ("cifartile", [[7, 7, 1, 2], [5, 5, 5, 5], [1, 2, 3, 4], [4, 1, 4, 1]], [2, 0, 3, 1]),
    ],
)
def test_labels(name, digits, expected):
    assert CHALLENGES[name].label(np.array(digits)).tolist() == expected


@pytest.mark.parametrize(("name", "rule"), [("addnist", lambda d: sum(d) - 1), ("multnist", lambda d: np.prod(d) % 10)])
def test_channels_are_digits(name, rule):
    images, labels = made(name, GREY)
    classes = CHALLENGES[name].classes
    assert images.shape == (6 * classes, 3, 2, 2)
    assert np.bincount(labels).tolist() == [6] * classes
    for image, label in zip(images, labels, strict=True):
        digits = [int(channel[0, 0]) % 10 for channel in image]
        assert [channel.tolist() for channel in image] == [[[int(c[0, 0])] * 2] * 2 for c in image]
        assert rule(digits) == label


def test_tiles_are_four_images_in_two_rows():
    images, labels = made("cifartile", COLOUR)
    assert images.shape == (24, 3, 4, 4)
    assert np.bincount(labels).tolist() == [6] * 4
    for image, label in zip(images, labels, strict=True):
        corners = [image[:, row : row + 2, column : column + 2] for row in (0, 2) for column in (0, 2)]
        assert all(len(np.unique(corner)) == 1 for corner in corners)
        assert len({int(corner[0, 0, 0]) % 10 for corner in corners}) - 1 == label
    numbered = np.arange(4, dtype=np.uint8)[None, :, None, None, None] * np.ones((1, 1, 3, 1, 1), np.uint8)
    assert CHALLENGES["cifartile"].compose(numbered)[0, 0].tolist() == [[0, 1], [2, 3]]


def test_the_seed_decides_and_classes_are_mixed():
    (one, labels), (same, _), (other, _) = (made("addnist", GREY, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert labels.tolist() != sorted(labels)


def test_published_counts_are_the_same_for_every_class():
    for challenge in CHALLENGES.values():
        assert [count % challenge.classes for count in challenge.counts] == [0, 0, 0]
        assert sum(challenge.counts) == 70_000


def test_images_that_lack_a_class_make_no_sum_of_one():
    with pytest.raises(DataError, match="no 3 of the 10 images make class 0; they lack classes of mnist"):
        composed(CHALLENGES["addnist"], GREY[:10], np.full(10, 3), per_class=1, rng=np.random.default_rng(0))
