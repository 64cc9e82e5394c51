"""Folders of pictures, one sub-folder a class, as labelled images in memory.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from replaytree.config.source import Resize
from replaytree.data.cache import decode_cached
from replaytree.data.decode import Decoded, read_images
from replaytree.data.deep import Range
from replaytree.data.images import Labelled, SourceImages
from replaytree.data.layout import Layout, layout_of
from replaytree.data.names import as_text, count_of, some
from replaytree.data.resize import SQUASH, Sides
from replaytree.data.twins import twin_notes
from replaytree.data.walk import Found, Walk, dead_links, hidden_folders, loose_pictures, subfolders
from replaytree.errors import DataError

DEFAULT_SIDES: Sides = (32, 32)


@dataclass(frozen=True, slots=True)
class _Part:
    """The picture files of a part with their labels, and folders and links in it that cannot be read."""

    root: Path
    paths: list[str]
    labels: list[int]
    unreadable: list[tuple[str, str]]


def read_folder(folder: Path, *, sides: Sides, resize: Resize = SQUASH, skip_bad: bool) -> SourceImages:
    """Read the train part of a folder, and its validation part if it has one; or its classes. Never its test part.

    Raises DataError if the folder is missing or empty, has fewer than two classes, a class with too few images,
    other classes in its validation part, or unreadable images (with `skip_bad` these are left out and named instead).
    """
    layout = layout_of(folder)
    classes = class_names(layout.train, layout.classes)
    walk = Walk(folder, avoid=() if layout.test is None else (layout.test,))
    roots = [layout.train / name for name in classes.values()]
    if layout.val is not None:
        roots += _same_classes(layout.val, layout.train, classes)
    found = walk.below(roots)
    parts = [_part(layout.train, found[: len(classes)])]
    if layout.val is not None:
        parts.append(_part(layout.val, found[len(classes) :]))
    least = 1 if layout.val is not None else 2
    for part, needed in zip(parts, (least, 1), strict=False):
        _require_images(part.labels, tuple(classes), part.root, least=needed, left_out=walk.left_out)

    decoded = decode_cached([path for part in parts for path in part.paths], sides=sides, resize=resize)
    skipped = _skipped(folder, parts, decoded, skip_bad=skip_bad)
    left_out = walk.left_out + Counter({"picture that cannot be read": len(skipped)})
    labelled, names, start = [], [], 0
    for part, needed in zip(parts, (least, 1), strict=False):
        good = [k for k in range(len(part.paths)) if start + k not in decoded.bad]
        labels = [part.labels[k] for k in good]
        _require_images(labels, tuple(classes), part.root, least=needed, left_out=left_out)
        images_NCHW = decoded.images_NCHW[start : start + len(part.paths)]
        images_NCHW = images_NCHW if len(good) == len(part.paths) else images_NCHW[good]
        labelled.append(Labelled(tuple(classes), torch.from_numpy(images_NCHW), torch.tensor(labels)))
        names.append([part.paths[k] for k in good])
        start += len(part.paths)
    notes = [_opening(layout, labelled, walk), *layout.notes, *_dead_links(layout), *decoding_notes(decoded)]
    whole = list(zip(("train", "validation"), labelled, names, strict=False))
    notes += twin_notes(whole, shown=lambda path: as_text(os.path.relpath(path, folder)))
    val = labelled[1] if len(labelled) > 1 else None
    return SourceImages(labelled[0], val, skipped, decoded.ranges, tuple(notes))


def read_part(
    root: Path,
    classes: tuple[str, ...],
    *,
    sides: Sides,
    resize: Resize = SQUASH,
    skip_bad: bool,
    ranges: Mapping[str, Range],
) -> Labelled:
    """Another part of a folder, decoded in the same way as its train part."""
    own = class_names(root, tuple(subfolders(root)))
    roots = _same_classes(root, None, dict(zip(classes, classes, strict=True)), own)
    part = _part(root, Walk(root).below(roots))
    decoded = read_images(part.paths, sides=sides, resize=resize, ranges=ranges)
    _skipped(root, [part], decoded, skip_bad=skip_bad)
    good = [k for k in range(len(part.paths)) if k not in decoded.bad]
    labels_N = torch.tensor([part.labels[k] for k in good], dtype=torch.int64)
    return Labelled(classes, torch.from_numpy(decoded.images_NCHW[good]), labels_N)


def class_names(root: Path, folders: Sequence[str]) -> dict[str, str]:
    """The folder of each class, by the class's name as text, in order. DataError for fewer than two."""
    classes: dict[str, str] = {}
    for folder in folders:
        if (name := as_text(folder)) in classes:
            raise DataError(f"{as_text(root)} has two folders that both read {name!r}; rename one")
        classes[name] = folder
    if len(classes) < 2:
        have = f"only the class {next(iter(classes))!r}" if classes else "no class folders"
        if not any(root.iterdir()):
            have = "nothing in it"
        if dead := dead_links(root):
            have += f", and {some([as_text(name) for name in dead])} only as a link that leads nowhere"
        raise DataError(
            f"{as_text(root)} has {have}; it needs at least two sub-folders, one a class, with images in them"
        )
    return dict(sorted(classes.items()))


def decoding_notes(decoded: Decoded) -> list[str]:
    """Sentences on pictures of more than 8 bits and of several frames."""
    notes = []
    if decoded.framed:
        notes.append(f"of {count_of(decoded.framed, 'picture')} with several frames only the first is taken")
    for kind, (low, high) in decoded.ranges.items():
        what = "pictures of floats" if kind == "float" else "pictures of more than 8 bits"
        notes.append(f"{what}: values from {low:g} to {high:g} become 0 to 255, in all of them alike")
    return notes


def _same_classes(
    root: Path, train: Path | None, classes: Mapping[str, str], own: Mapping[str, str] | None = None
) -> list[Path]:
    """The class folders of another part than train, in the order of the classes; DataError where they differ."""
    own = class_names(root, tuple(subfolders(root))) if own is None else own
    if set(own) != set(classes):
        lacking, more = sorted(set(classes) - set(own)), sorted(set(own) - set(classes))
        differing = "; ".join(
            [f"it lacks {some(lacking)}"] * bool(lacking) + [f"it alone has {some(more)}"] * bool(more)
        )
        than = "the train images" if train is None else as_text(train)
        raise DataError(
            f"{as_text(root)} has other classes than {than}: {differing}; give both the same sub-folders, or move "
            f"{as_text(root.name)} out of the data set"
        )
    return [root / own[name] for name in classes]


def _part(root: Path, found: Sequence[Found]) -> _Part:
    return _Part(
        root,
        [path for each in found for path in each.pictures],
        [label for label, each in enumerate(found) for _ in each.pictures],
        [bad for each in found for bad in each.unreadable],
    )


def _skipped(folder: Path, parts: Sequence[_Part], decoded: Decoded, *, skip_bad: bool) -> tuple[str, ...]:
    """The names of what cannot be read; DataError, with reasons, unless `skip_bad`."""
    paths = [path for part in parts for path in part.paths]
    bad = [(paths[position], why) for position, why in decoded.bad.items()]
    bad += [each for part in parts for each in part.unreadable]
    names = [as_text(os.path.relpath(path, folder)) for path, _ in bad]
    if bad and not skip_bad:
        whys = [f"{name} ({why})" for name, (_, why) in zip(names, bad, strict=True)]
        raise DataError(
            f"{len(bad)} of {len(paths) + len(bad) - len(decoded.bad)} images in {as_text(folder)} cannot be read: "
            f"{some(whys)}; repair or remove them, or leave them out with --skip-bad"
        )
    return tuple(names)


def _opening(layout: Layout, labelled: Sequence[Labelled], walk: Walk) -> str:
    """One line on which folder was taken for which part, and on what was left out."""
    left_out = walk.left_out
    for root in {layout.folder, layout.train, layout.val or layout.train}:
        left_out["picture in no class folder"] += sum(1 for _ in loose_pictures(root))
        left_out["hidden folder"] += hidden_folders(root)
    for root, found in zip(layout.unused, Walk(layout.folder).below(layout.unused), strict=True):
        left_out[f"picture in {layout.name(root)}"] += len(found.pictures)
    text = f"{as_text(layout.folder.resolve().name)}: {layout.taken}"
    return text + (f"; left out: {counted}" if (counted := _counted(left_out)) else "")


def _counted(left_out: Mapping[str, int]) -> str:
    """What was left out, by kind, most first: '3 hidden files, 1 link that leads nowhere'."""
    most_first = sorted(
        ((kind, count) for kind, count in left_out.items() if count), key=lambda each: (-each[1], each[0])
    )
    return some([f"{count:,} {kind if count == 1 else _many(kind)}" for kind, count in most_first], 12)


def _dead_links(layout: Layout) -> list[str]:
    """Sentences on links among the class folders and parts that lead nowhere: they may have been classes."""
    roots = dict.fromkeys(root for root in (layout.folder, layout.train, layout.val) if root is not None)
    dead = [layout.name(root / name) for root in roots for name in dead_links(root)]
    return [f"left out, as a link that leads nowhere: {some(dead)}"] if dead else []


def _many(kind: str) -> str:
    return re.sub(r"\b(file|folder|link|picture)\b", r"\1s", kind, count=1)


def _require_images(
    labels: Sequence[int], classes: Sequence[str], root: Path, *, least: int, left_out: Mapping[str, int]
) -> None:
    counts = Counter(labels)
    beside = f" (left out of the data set: {counted})" if (counted := _counted(left_out)) else ""
    if poor := [f"{name} ({counts[label]})" for label, name in enumerate(classes) if counts[label] < least]:
        raise DataError(
            f"classes with fewer than {least} readable images in {as_text(root)}: {some(poor)}{beside}; add images or "
            f"remove the class"
        )
