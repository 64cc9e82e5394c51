"""Parts of a data set of picture files: decoded, labelled, with what cannot be read, and what a user should know.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from replaytree.config.source import Resize
from replaytree.data.cache import decode_cached
from replaytree.data.decode import Decoded
from replaytree.data.deep import Range
from replaytree.data.images import Labelled, SourceImages
from replaytree.data.resize import Sides
from replaytree.data.twins import twin_notes
from replaytree.errors import DataError
from replaytree.sources.names import as_text, count_of, some, within


@dataclass(frozen=True, slots=True)
class PicturePart:
    """The picture files of a part with their labels, and folders and links in it that cannot be read."""

    root: Path
    paths: list[str]
    labels: list[int]
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DecodedParts:
    """The train part and perhaps a validation part of `folder`, with the files of each."""

    folder: Path
    parts: list[Labelled]
    files: list[list[str]]
    decoded: Decoded
    skipped: tuple[str, ...]

    def source(self, notes: Sequence[str]) -> SourceImages:
        """What the data set holds; `notes` come first."""
        whole = list(zip(("train", "validation"), self.parts, self.files, strict=False))
        twins = twin_notes(whole, shown=lambda path: within(path, self.folder))
        val = self.parts[1] if len(self.parts) > 1 else None
        every = (*notes, *decoding_notes(self.decoded), *twins)
        return SourceImages(self.parts[0], val, self.skipped, self.decoded.ranges, every)


def decoded_parts(
    folder: Path,
    parts: Sequence[PicturePart],
    classes: tuple[str, ...],
    *,
    least: int,
    sides: Sides,
    resize: Resize,
    skip_bad: bool,
    left_out: Mapping[str, int],
) -> DecodedParts:
    """The train part, of which each class needs at `least` so many pictures, and perhaps a validation part.

    DataError for pictures that cannot be read; with `skip_bad` these are left out and named instead.
    """
    decoded = decode_cached([path for part in parts for path in part.paths], sides=sides, resize=resize)
    skipped = _skipped(folder, parts, decoded, skip_bad=skip_bad)
    left_out = Counter(left_out) + Counter({"picture that cannot be read": len(skipped)})
    labelled, names, start = [], [], 0
    for part, needed in zip(parts, (least, 1), strict=False):
        good = [k for k in range(len(part.paths)) if start + k not in decoded.bad]
        labels = [part.labels[k] for k in good]
        require_pictures(labels, classes, part.root, least=needed, left_out=left_out)
        images_NCHW = decoded.images_NCHW[start : start + len(part.paths)]
        images_NCHW = images_NCHW if len(good) == len(part.paths) else images_NCHW[good]
        labelled.append(Labelled(classes, torch.from_numpy(images_NCHW), torch.tensor(labels)))
        names.append([part.paths[k] for k in good])
        start += len(part.paths)
    return DecodedParts(folder, labelled, names, decoded, skipped)


def decoded_part(
    folder: Path,
    part: PicturePart,
    classes: tuple[str, ...],
    *,
    sides: Sides,
    resize: Resize,
    skip_bad: bool,
    ranges: Mapping[str, Range],
) -> Labelled:
    """Another part, decoded in the same way as the train part."""
    decoded = decode_cached(part.paths, sides=sides, resize=resize, ranges=ranges)
    _skipped(folder, [part], decoded, skip_bad=skip_bad)
    good = [k for k in range(len(part.paths)) if k not in decoded.bad]
    labels_N = torch.tensor([part.labels[k] for k in good], dtype=torch.int64)
    return Labelled(classes, torch.from_numpy(decoded.images_NCHW[good]), labels_N)


def decoding_notes(decoded: Decoded) -> list[str]:
    """Sentences on pictures of more than 8 bits and of several frames."""
    notes = []
    if decoded.framed:
        notes.append(f"of {count_of(decoded.framed, 'picture')} with several frames only the first is taken")
    for kind, (low, high) in decoded.ranges.items():
        what = "pictures of floats" if kind == "float" else "pictures of more than 8 bits"
        notes.append(f"{what}: values from {low:g} to {high:g} become 0 to 255, in all of them alike")
    return notes


def require_pictures(
    labels: Sequence[int],
    classes: Sequence[str],
    root: Path,
    *,
    least: int,
    left_out: Mapping[str, int],
    advice: str = "remove the class",
) -> None:
    """DataError, naming them and what was left out, for classes with fewer than `least` pictures."""
    counts = Counter(labels)
    beside = f" (left out of the data set: {kinds})" if (kinds := counted(left_out)) else ""
    if poor := [f"{name} ({counts[label]})" for label, name in enumerate(classes) if counts[label] < least]:
        raise DataError(
            f"classes with fewer than {least} readable images in {as_text(root)}: {some(poor)}{beside}; add images or "
            f"{advice}"
        )


def refused_later(check: Callable[[], object]) -> list[str]:
    """A sentence where the test part has other classes, which only a retraining would find; `check` raises DataError.

    It compares names and reads no test image.
    """
    try:
        check()
    except DataError as error:
        return [f"a retraining will refuse the test part: {error}"]
    return []


def counted(left_out: Mapping[str, int]) -> str:
    """What was left out, by kind, most first: '3 hidden files, 1 link that leads nowhere'."""
    most_first = sorted(
        ((kind, count) for kind, count in left_out.items() if count), key=lambda each: (-each[1], each[0])
    )
    return some([f"{count:,} {kind if count == 1 else _many(kind)}" for kind, count in most_first], 12)


def _skipped(folder: Path, parts: Sequence[PicturePart], decoded: Decoded, *, skip_bad: bool) -> tuple[str, ...]:
    """The names of what cannot be read; DataError, with reasons, unless `skip_bad`."""
    paths = [path for part in parts for path in part.paths]
    bad = [(paths[position], why) for position, why in decoded.bad.items()]
    bad += [each for part in parts for each in part.unreadable]
    names = [within(path, folder) for path, _ in bad]
    if bad and not skip_bad:
        whys = [f"{name} ({why})" for name, (_, why) in zip(names, bad, strict=True)]
        raise DataError(
            f"{len(bad)} of {len(paths) + len(bad) - len(decoded.bad)} images in {as_text(folder)} cannot be read: "
            f"{some(whys)}; repair or remove them, or leave them out with --skip-bad"
        )
    return tuple(names)


def _many(kind: str) -> str:
    return re.sub(r"\b(file|folder|link|picture)\b", r"\1s", kind, count=1)
