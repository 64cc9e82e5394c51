"""Notes on the images that a user may not expect: small classes, classes of very different sizes, mirrored signs."""

from __future__ import annotations

from replaytree.data.images import ImageData
from replaytree.sources.named import NAMED
from replaytree.sources.names import count_of

# The names of classes of signs, in any script that has an order of its own.
_NUMBERS = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", *map(str, range(10))}
FEW_IMAGES = 20
FEW_VALIDATION = 50
IMBALANCE = 3.0


def balance_notes(data: ImageData, *, flip: bool | None = None) -> list[str]:
    """Sentences about skipped, rare and few images, with the figures that a user should know before a search.

    A class is rare with fewer than 20 training images, or where another has 3 times as many; fewer than 50 validation
    images are few. The notes of the data set come first. `flip` is the search's setting; None means the data set's own.
    """
    flip = data.flip if flip is None else flip
    notes = [*data.notes, *mirroring_notes(data, flip=flip)]
    if not flip and data.notes and data.name not in NAMED:
        notes.append("images are not mirrored while training; where left and right mean the same, give --flip")
    if data.skipped:
        notes.append(f"left out, because they cannot be read: {count_of(len(data.skipped), 'image')}")
    if data.val_count < FEW_VALIDATION:
        images = count_of(data.val_count, "validation image")
        notes.append(
            f"only {images}: one is {100 / data.val_count:.1f} points of accuracy, so that networks tie and luck "
            f"decides among them; more of them tell more apart"
        )
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
            f"({ratio:.1f} times); --reward balanced (or macro-f1) counts every class alike, and --class-weights "
            f"balanced does so in training"
        )
    return notes


def mirroring_notes(data: ImageData, *, flip: bool) -> list[str]:
    """A sentence where images are mirrored, and a mirror image would be of another class, or of none."""
    known = NAMED.get(data.name)
    if not flip or (not _is_of_signs(data.classes) if known is None else known.flip):
        return []
    what = f"images of {data.name} are" if known else "images are"
    those = "which" if known else "and classes are called as signs are, which"
    return [f"{what} mirrored while training, {those} makes other signs of digits and letters; leave out --flip"]


def _is_of_signs(classes: tuple[str, ...]) -> bool:
    """Whether classes are called like all digits, or like letters."""
    names = {name.casefold() for name in classes}
    return len(names & _NUMBERS) == 10 or (len(names) > 2 and all(len(name) == 1 and name.isalpha() for name in names))
