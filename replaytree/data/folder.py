"""Folders of pictures, one sub-folder a class, as labelled images in memory.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from replaytree.config.source import Resize
from replaytree.data.deep import Range
from replaytree.data.images import Labelled, SourceImages
from replaytree.data.layout import Layout, layout_of
from replaytree.data.picture_parts import (
    PicturePart,
    counted,
    decoded_part,
    decoded_parts,
    refused_later,
    require_pictures,
)
from replaytree.data.resize import SQUASH, Sides
from replaytree.data.walk import Found, Walk, dead_links, hidden_folders, is_empty, loose_pictures, subfolders
from replaytree.errors import DataError
from replaytree.sources.names import as_text, some

DEFAULT_SIDES: Sides = (32, 32)


def read_folder(folder: Path, *, sides: Sides, resize: Resize = SQUASH, skip_bad: bool) -> SourceImages:
    """Read the train part of a folder, and its validation part if it has one; or its classes. Never its test part.

    Raises DataError if the folder is missing or empty, has fewer than two classes, a class with too few images,
    other classes in its validation part, or unreadable images (with `skip_bad` these are left out and named instead).
    """
    layout = layout_of(folder)
    own = [name for name in layout.classes if not (skip_bad and is_empty(layout.train / name))]
    empty = [as_text(name) for name in layout.classes if name not in own]
    classes = class_names(layout.train, own)
    walk = Walk(folder, avoid=() if layout.test is None else (layout.test,))
    roots = [layout.train / name for name in classes.values()]
    if layout.val is not None:
        roots += _same_classes(layout.val, layout.train, classes, skip_bad=skip_bad)
    found = walk.below(roots)
    parts = [_part(layout.train, found[: len(classes)])]
    if layout.val is not None:
        parts.append(_part(layout.val, found[len(classes) :]))
    least = 1 if layout.val is not None else 2
    advice = "remove the class" if skip_bad else "remove the class; --skip-bad leaves out empty ones"
    for part, needed in zip(parts, (least, 1), strict=False):
        require_pictures(part.labels, tuple(classes), part.root, least=needed, left_out=walk.left_out, advice=advice)

    read = decoded_parts(
        folder, parts, tuple(classes), least=least, sides=sides, resize=resize, skip_bad=skip_bad,
        left_out=walk.left_out,
    )  # fmt: skip
    test = layout.test
    refused = (
        [] if test is None else refused_later(lambda: _same_classes(test, layout.train, classes, skip_bad=skip_bad))
    )
    without = [f"left out, as a class without images: {some(empty)}"] if empty else []
    return read.source([_opening(layout, walk), *layout.notes, *without, *_dead_links(layout), *refused])


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
    roots = _same_classes(root, None, dict(zip(classes, classes, strict=True)), skip_bad=skip_bad)
    part = _part(root, Walk(root).below(roots))
    return decoded_part(root, part, classes, sides=sides, resize=resize, skip_bad=skip_bad, ranges=ranges)


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


def _same_classes(root: Path, train: Path | None, classes: Mapping[str, str], *, skip_bad: bool) -> list[Path]:
    """The class folders of another part than train, in the order of the classes; DataError where they differ.

    With `skip_bad` empty folders of other names are no classes.
    """
    names = subfolders(root)
    own = class_names(root, [each for each in names if not (skip_bad and _is_extra(root / each, classes))])
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


def _is_extra(folder: Path, classes: Mapping[str, str]) -> bool:
    return as_text(folder.name) not in classes and is_empty(folder)


def _part(root: Path, found: Sequence[Found]) -> PicturePart:
    return PicturePart(
        root,
        [path for each in found for path in each.pictures],
        [label for label, each in enumerate(found) for _ in each.pictures],
        [bad for each in found for bad in each.unreadable],
    )


def _opening(layout: Layout, walk: Walk) -> str:
    """One line on which folder was taken for which part, and on what was left out."""
    left_out = walk.left_out
    for root in {layout.folder, layout.train, layout.val or layout.train}:
        left_out["picture in no class folder"] += sum(1 for _ in loose_pictures(root))
        left_out["hidden folder"] += hidden_folders(root)
    for root, found in zip(layout.unused, Walk(layout.folder).below(layout.unused), strict=True):
        left_out[f"picture in {layout.name(root)}"] += len(found.pictures)
    text = f"{as_text(layout.folder.resolve().name)}: {layout.taken}"
    return text + (f"; left out: {kinds}" if (kinds := counted(left_out)) else "")


def _dead_links(layout: Layout) -> list[str]:
    """Sentences on links among the class folders and parts that lead nowhere: they may have been classes."""
    roots = dict.fromkeys(root for root in (layout.folder, layout.train, layout.val) if root is not None)
    dead = [layout.name(root / name) for root in roots for name in dead_links(root)]
    return [f"left out, as a link that leads nowhere: {some(dead)}"] if dead else []
