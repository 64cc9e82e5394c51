"""Notes on the images that a user may not expect: small classes, and classes of very different sizes."""

from __future__ import annotations

from replaytree.data.images import ImageData
from replaytree.data.named import NAMED

FEW_IMAGES = 20
IMBALANCE = 3.0


def balance_notes(data: ImageData, *, flip: bool | None = None) -> list[str]:
    """Sentences about skipped images, classes with fewer than 20 training images, and a ratio of 3 or more.

    The notes of the data set come first. `flip` is the search's setting; None means the data set's own.
    """
    notes = list(data.notes)
    if not (data.flip if flip is None else flip) and data.notes and data.name not in NAMED:
        notes.append("images are not mirrored while training; where left and right mean the same, give --flip")
    if data.skipped:
        notes.append(f"{len(data.skipped)} images that cannot be read were left out")
    counts = dict(zip(data.classes, data.fingerprint.train_counts, strict=True))
    few = {name: count for name, count in counts.items() if count < FEW_IMAGES}
    if few:
        shown = ", ".join(f"{name} ({count})" for name, count in list(few.items())[:5])
        rest = f" and {len(few) - 5} more" if len(few) > 5 else ""
        notes.append(f"classes with fewer than {FEW_IMAGES} training images: {shown}{rest}; accuracies will be rough")
    largest, smallest = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    ratio = counts[largest] / counts[smallest]
    if ratio >= IMBALANCE:
        notes.append(
            f"classes are imbalanced: {largest} has {counts[largest]} training images, {smallest} {counts[smallest]} "
            f"({ratio:.1f} times); --reward balanced counts every class alike"
        )
    return notes
