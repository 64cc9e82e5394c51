import numpy as np

from replaytree.config.final_recipes import FINAL_RECIPES
from replaytree.config.presets import PRESETS
from replaytree.data import NAMED, balance_notes, from_arrays, load_data


def notes(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return balance_notes(from_arrays(np.zeros((len(labels), 4, 4), np.uint8), labels, val_fraction=0.5))


def test_nothing_to_say():
    assert notes(80, 100, 60) == []


def test_few_images():
    (note,) = notes(60, 100, 38)
    assert note.startswith("classes with fewer than 20 training images: 2 (19); accuracies")


def test_few_validation_images():
    """18 are too few to tell apart, and 50 are not: one is 2 points."""
    assert notes(50, 50) == []
    (note,) = notes(48, 48)
    assert note.startswith("only 48 validation images: one is 2.1 points of accuracy, so that networks tie")


def test_imbalance():
    (note,) = notes(60, 200)
    assert note.startswith("classes are imbalanced: 1 has 100 training images, 0 30 (3.3 times); --reward balanced")


def of_classes(classes, **options):
    labels = np.repeat(np.arange(len(classes)), 300)
    return from_arrays(np.zeros((len(labels), 4, 4), np.uint8), labels, classes=classes, **options)


def test_mirrored_signs_are_told():
    said = "mirrored while training, and classes are called as signs are, which makes other signs of digits and letters"
    for classes in ("0123456789", "abcXYZ", ["zero", "One", "two", *"3456789"]):
        assert balance_notes(of_classes(list(classes))) == []
        (note,) = balance_notes(of_classes(list(classes), flip=True))
        assert said in note
        assert balance_notes(of_classes(list(classes), flip=True), flip=False) == []
    for classes in (["cat", "dog"], ["0", "1"], list("0123")):
        assert balance_notes(of_classes(classes), flip=True) == []


def test_mirrored_digits_are_told():
    digits = load_data("digits")
    assert balance_notes(digits) == []
    (note,) = balance_notes(digits, flip=True)
    assert note.startswith(
        "images of digits are mirrored while training, which makes other signs of digits and letters; leave"
    )


def test_nothing_is_mirrored_but_photographs():
    """Only of data sets whose classes a mirror keeps; no preset of a search or of a retraining asks for it."""
    assert {name for name, each in NAMED.items() if each.flip} == {"cifar10", "cifar100", "fashion-mnist"}
    for preset in (*PRESETS.values(), *FINAL_RECIPES.values()):
        assert "flip" not in preset.options
