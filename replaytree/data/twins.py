"""Pictures that are in a data set more than once: in two parts, or in two classes.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch

from replaytree.data.images import Labelled
from replaytree.sources.names import count_of


def twin_notes(parts: Sequence[tuple[str, Labelled, Sequence[str]]], *, shown: Callable[[str], str] = str) -> list[str]:
    """Sentences on equal pixels in two parts and under two classes, from (part, images, files)."""
    places: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for number, (_, part, _) in enumerate(parts):
        for position, key in enumerate(pixel_keys(part.images_NCHW)):
            places[key].append((number, position))
    in_parts: dict[tuple[int, int], list[str]] = defaultdict(list)
    in_classes: list[str] = []
    repeated: dict[int, int] = defaultdict(int)
    for found in places.values():
        if len(found) == 1:
            continue
        names = [shown(parts[number][2][position]) for number, position in found]
        labels = [int(parts[number][1].labels_N[position]) for number, position in found]
        first = found[0][0]
        if other := next((k for k, place in enumerate(found) if place[0] != first), 0):
            in_parts[first, found[other][0]].append(f"{names[0]} and {names[other]}")
        if other := next((k for k, label in enumerate(labels) if label != labels[0]), 0):
            in_classes.append(f"{names[0]} and {names[other]}")
        repeated[first] += sum(number == first for number, _ in found) - 1
    notes = []
    for (one, two), pairs in in_parts.items():
        notes.append(
            f"{count_of(len(pairs), 'picture stands', 'pictures stand')} in {parts[one][0]} and in {parts[two][0]}, "
            f"such as {pairs[0]}; accuracies flatter"
        )
    if in_classes:
        notes.append(
            f"{count_of(len(in_classes), 'picture stands', 'pictures stand')} under two classes, such as "
            f"{in_classes[0]}"
        )
    if len(parts) == 1 and repeated[0]:
        notes.append(
            f"{count_of(repeated[0], 'picture repeats another', 'pictures repeat others')}, so that the validation "
            f"part drawn from them may hold pictures that are trained on"
        )
    return notes


def pixel_keys(images_NCHW: torch.Tensor) -> list[bytes]:
    """A hash of each image's pixels; grey images equal their copies in colour."""
    if images_NCHW.shape[1] == 1:
        images_NCHW = images_NCHW.expand(-1, 3, -1, -1)
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images_NCHW.cpu().numpy()]
