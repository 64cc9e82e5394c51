import torch

from replaytree.data.images import Labelled
from replaytree.data.twins import pixel_keys, twin_notes


def part(name, *pictures):
    """A part of 1x1 pictures, each (value, label); file k is called name/k."""
    values, labels = zip(*pictures, strict=True)
    images = torch.tensor(values, dtype=torch.uint8)[:, None, None, None]
    return name, Labelled(("a", "b"), images, torch.tensor(labels)), [f"{name}/{k}" for k in range(len(values))]


def test_different_pictures():
    assert twin_notes([part("train", (1, 0), (2, 1)), part("validation", (3, 0))]) == []


def test_a_picture_in_two_parts():
    notes = twin_notes([part("train", (1, 0), (2, 1), (3, 0)), part("validation", (3, 0), (2, 1), (9, 1))])
    assert notes == [
        "2 pictures stand in train and in validation, such as train/1 and validation/1; accuracies flatter"
    ]


def test_a_picture_under_two_classes():
    (note,) = twin_notes([part("train", (1, 0), (2, 0), (1, 1)), part("validation", (5, 0))])
    assert note == "1 picture stands under two classes, such as train/0 and train/2"


def test_repeats_within_train_matter_where_validation_is_drawn_from_it():
    twice = part("train", (1, 0), (1, 0), (1, 0), (2, 1))
    (note,) = twin_notes([twice])
    assert note.startswith("2 pictures repeat others, so that the validation part")
    assert twin_notes([twice, part("validation", (5, 0))]) == []


def test_grey_equals_its_copy_in_colour():
    grey = torch.tensor([[[[7]]]], dtype=torch.uint8)
    assert pixel_keys(grey) == pixel_keys(grey.expand(1, 3, 1, 1))
    assert pixel_keys(grey) != pixel_keys(grey + 1)
