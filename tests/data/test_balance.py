import numpy as np

from replaytree.data import balance_notes, from_arrays


def notes(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return balance_notes(from_arrays(np.zeros((len(labels), 4, 4), np.uint8), labels, val_fraction=0.5))


def test_nothing_to_say():
    assert notes(80, 100, 60) == []


def test_few_images():
    (note,) = notes(60, 100, 38)
    assert note.startswith("classes with fewer than 20 training images: 2 (19); accuracies")


def test_imbalance():
    (note,) = notes(60, 200)
    assert note.startswith("classes are imbalanced: 1 has 100 training images, 0 30 (3.3 times); --reward balanced")
