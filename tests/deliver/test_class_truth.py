import io

import torch
from PIL import Image

from replaytree.data.images import Labelled
from replaytree.deliver.class_truth import class_results


def labelled(labels, *, channels=1, side=4):
    """Image n is of one shade, 10 n."""
    labels = torch.tensor(labels)
    shades = 10 * torch.arange(len(labels), dtype=torch.uint8)
    images = shades[:, None, None, None].expand(len(labels), channels, side, side + 1).contiguous()
    return Labelled(("a", "b", "c"), images, labels)


def logits(*answers):
    """Of each image the class it is taken for, and how sure that is."""
    found = torch.zeros(len(answers), 3)
    for row, (answer, sure) in zip(found, answers, strict=True):
        row[answer] = sure
    return found


def test_counts_by_hand():
    answers = logits((0, 1), (1, 1), (1, 2), (2, 1), (0, 1))
    found = class_results(answers, labelled([0, 0, 1, 1, 2]), part="validation")
    assert (found.part, found.classes) == ("validation", ("a", "b", "c"))
    assert found.counts == ((1, 1, 0), (0, 1, 1), (1, 0, 0))


def test_pictures_are_those_that_the_model_was_surest_of_in_a_row():
    answers = logits((1, 1), (1, 9), (1, 2), (1, 3), (1, 4), (0, 9))
    found = class_results(answers, labelled([0, 0, 0, 0, 0, 0]), part="test")
    assert set(found.pictures) == {(0, 1)}
    row = Image.open(io.BytesIO(found.pictures[0, 1]))
    # Four images of 5x4 pixels, and three lines between.
    assert (row.mode, row.size) == ("L", (4 * 5 + 3, 4))
    assert [row.getpixel((place, 0)) for place in (0, 5, 6, 12, 18)] == [10, 255, 40, 30, 20]


def test_colours_stay_and_large_pictures_become_small():
    big = labelled([1, 1], channels=3, side=200)
    found = class_results(logits((0, 1), (0, 2)), big, part="test")
    row = Image.open(io.BytesIO(found.pictures[1, 0]))
    assert (row.mode, row.size) == ("RGB", (2 * 96 + 1, 96))


def test_images_of_other_channels_have_no_pictures():
    found = class_results(logits((0, 1), (0, 2)), labelled([1, 1], channels=5), part="test")
    assert (found.pictures, found.counts[1][0]) == ({}, 2)


def test_a_class_without_images_is_counted_as_none():
    found = class_results(logits((0, 1)), labelled([0]), part="test")
    assert [each.images for each in found.figures] == [1, 0, 0]
