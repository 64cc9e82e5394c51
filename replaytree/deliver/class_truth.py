"""What a model takes the images of each class for, with pictures of what it confuses most.

Shapes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from replaytree.data.images import Labelled
from replaytree.records import Part
from replaytree.tree import ClassResults

# Pairs of classes of which pictures are kept, and pictures a pair.
PAIRS, PICTURES = 5, 4
# Pictures are kept in the database: larger ones are made this small.
_LARGEST_SIDE = 96


def class_results(logits_NK: Tensor, labelled: Labelled, *, part: Part) -> ClassResults:
    """The confusion matrix, and a few images of the pairs that were confused most, those first that it was surest of.

    Images that are neither grey nor of three colours have no pictures.
    """
    from sklearn.metrics import confusion_matrix

    labels_N, found_N = labelled.labels_N.cpu(), logits_NK.argmax(dim=1)
    classes = range(len(labelled.classes))
    counts_KK = confusion_matrix(labels_N.numpy(), found_N.numpy(), labels=[*classes])
    results = ClassResults(part, labelled.classes, tuple(tuple(map(int, row)) for row in counts_KK))
    if labelled.images_NCHW.shape[1] not in (1, 3):
        return results
    sure_N = logits_NK.softmax(dim=1).amax(dim=1)
    number = {name: place for place, name in enumerate(labelled.classes)}
    pictures = {}
    for each in results.confused(PAIRS):
        pair = number[each.actual], number[each.predicted]
        chosen_M = torch.nonzero((labels_N == pair[0]) & (found_N == pair[1])).flatten()
        surest_M = chosen_M[sure_N[chosen_M].argsort(descending=True, stable=True)][:PICTURES]
        pictures[pair] = _side_by_side(labelled.images_NCHW.cpu()[surest_M].numpy())
    return ClassResults(part, results.classes, results.counts, pictures)


def _side_by_side(images_MCHW: np.ndarray) -> bytes:
    """Images in a row with a white line between two, as a PNG."""
    images = [_small(Image.fromarray(image_CHW.transpose(1, 2, 0).squeeze())) for image_CHW in images_MCHW]
    width, height = images[0].size
    row = Image.new(images[0].mode, ((width + 1) * len(images) - 1, height), "white")
    for place, image in enumerate(images):
        row.paste(image, (place * (width + 1), 0))
    stream = io.BytesIO()
    row.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _small(image: Image.Image) -> Image.Image:
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    return image
