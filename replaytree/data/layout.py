"""Decide what the folders of a data set are: its train, validation and test parts, or its classes.

Names and contents decide together: a part holds class folders, a class holds pictures. If two readings remain, an error
says how to make the choice clear.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from replaytree.data.walk import loose_pictures, subfolders
from replaytree.errors import DataError
from replaytree.sources.names import as_text, quoted, some

Part = Literal["train", "val", "test"]

_PART_OF: dict[str, Part] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
_TAILS = ("set", "data", "images", "imgs", "split")
# Words beside a part's name that carry no meaning: training_set, train_images, Validation Data.
_FILLERS = {
    "set", "data", "dataset", "image", "images", "img", "imgs", "pics", "pictures", "photos", "samples", "files",
    "folder", "dir", "split", "part", "subset", "classes", "final", "resized", "cropped", "jpg", "png", "the", "of",
}  # fmt: skip
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![a-z])|\d+")
_DEEPEST = 4
_LOOKED_INTO = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a data set are. `train` is the folder of the class folders, `classes` are their names.

    `unused` are folders that are neither parts nor classes. `notes` are sentences for the user.
    """

    folder: Path
    train: Path
    classes: tuple[str, ...]
    val: Path | None = None
    test: Path | None = None
    unused: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def taken(self) -> str:
        """Which folder is taken for which part, in words."""
        parts = (("train", self.train), ("validation", self.val), ("test (not read before a retraining)", self.test))
        named = [f"{self.name(root)} as {part}" for part, root in parts if root is not None and root != self.folder]
        start = [] if self.train != self.folder else [f"its {len(self.classes)} sub-folders as classes"]
        return ", ".join(start + named)

    def name(self, root: Path) -> str:
        """A folder's name within the data set."""
        return as_text(os.path.relpath(root, self.folder))


def layout_of(folder: Path) -> Layout:
    """The parts of a folder. Raises DataError if it is missing, or can be read in two ways."""
    if not folder.is_dir():
        raise DataError(f"the folder {as_text(folder)} does not exist; check the path, or name a data set")
    names = subfolders(folder)
    if (inner := _only_inner(folder, names)) is not None:
        return layout_of(inner)
    parts, unsure = _candidates(names)
    with_classes = {name: part for name, part in parts.items() if subfolders(folder / name)}
    without = [name for name in parts if name not in with_classes and name not in unsure]
    others = sorted(set(names) - set(with_classes) - set(without))
    if not with_classes:
        return _of_classes(folder, others, {name: parts[name] for name in without})
    roots = _one_each(folder, with_classes)
    notes = tuple(f"{as_text(name)} holds no class folders and is not used" for name in without)
    if "train" not in roots:
        return _beside_classes(folder, others, roots, tuple(folder / name for name in without), notes)
    beside = [as_text(name) for name in others if _holds_pictures(folder / name)]
    if beside and len(roots) == 1:
        raise DataError(
            f"{as_text(roots['train'])} may be a part of the data set, or a class beside {some(beside, 3)}; give "
            f"--dataset {quoted(roots['train'])} to take its sub-folders as the classes, or rename it"
        )
    train = _inside(roots["train"], "train")
    val, test = (_inside(roots[part], part) if part in roots else None for part in ("val", "test"))
    unused = tuple(folder / name for name in (*without, *others))
    return _distinct(Layout(folder, train, tuple(subfolders(train)), val, test, unused, notes))


def part_of(name: str) -> Part | None:
    """The part that a folder's name states by itself: `training_set`, `Val`, `test1`, `dev`; None for other names."""
    part, rest = _read_name(name)
    return part if not rest else None


def _of_classes(folder: Path, classes: list[str], without: dict[str, Part]) -> Layout:
    """A folder of class folders; `without` are named like parts, but hold no class folders."""
    full = [name for name in without if _holds_pictures(folder / name)]
    notes = [f"{as_text(name)} is empty and is not used" for name in without if name not in full]
    if len(classes) >= 2 and len(full) == 1 and without[full[0]] == "train":
        # Nobody keeps unsorted training pictures beside class folders, and "train" is a likely class (a vehicle).
        classes = sorted([*classes, *full])
        notes.append(f"{as_text(full[0])} is taken for a class, because it holds pictures as the others do")
    elif full:
        names = some([as_text(name) for name in full])
        raise DataError(
            f"{as_text(folder)} has {names} but no train with class folders in it; name its parts train, val and test, "
            f"each with the class folders in it; if {names} is a class, put all class folders into "
            f"{as_text(folder / 'train')}"
        )
    _refuse_parts_inside(folder, classes)
    _refuse_parts_by_other_names(folder, classes)
    return Layout(folder, folder, tuple(classes), notes=tuple(notes))


def _refuse_parts_by_other_names(folder: Path, classes: list[str]) -> None:
    """DataError where the classes hold the same folders, as parts do (fold1, fold2), or one is called like a part."""
    inner = {name: subfolders(folder / name) for name in classes[:_LOOKED_INTO]}
    for name, within in inner.items():
        if _read_name(name)[0] is not None and len(within) > 1 and not any(loose_pictures(folder / name)):
            raise DataError(
                f"{as_text(folder / name)} sounds like a part of the data set and holds folders "
                f"({some([as_text(each) for each in within], 3)}); give --dataset {quoted(folder / name)} where these "
                f"are the classes, or rename it"
            )
    alike = next(iter(inner.values()), [])
    if len(inner) < 2 or len(alike) < 2 or any(within != alike for within in inner.values()):
        return
    if any(any(loose_pictures(folder / name)) for name in inner):
        return
    raise DataError(
        f"all of {some([as_text(name) for name in inner], 3)} in {as_text(folder)} hold "
        f"{some([as_text(name) for name in alike], 3)}: if they are parts of the data set, call them train, val and "
        f"test; if they are its classes, put them into {as_text(folder / 'train')}"
    )


def _beside_classes(
    folder: Path, classes: list[str], roots: dict[Part, Path], unused: tuple[Path, ...], notes: tuple[str, ...]
) -> Layout:
    """Class folders with a validation or a test part among them, which holds folders of the same names."""
    inner = {as_text(name) for root in roots.values() for name in subfolders(root)}
    if len(classes) < 2 or not inner <= {as_text(name) for name in classes}:
        raise DataError(
            f"{as_text(folder)} has {some(sorted(as_text(root.name) for root in roots.values()))} but no train; name "
            f"its parts train, val and test, or put the class folders directly into it"
        )
    _refuse_parts_inside(folder, classes)
    return _distinct(Layout(folder, folder, tuple(classes), roots.get("val"), roots.get("test"), unused, notes))


def _refuse_parts_inside(folder: Path, classes: list[str]) -> None:
    for name in classes[:_LOOKED_INTO]:
        inside = {part: each for each in subfolders(folder / name) if (part := part_of(each)) is not None}
        if len(inside) > 1:
            raise DataError(
                f"{as_text(folder / name)} has {some(sorted(as_text(each) for each in inside.values()))} inside; if it "
                f"is a class, put the parts outside, as in train/{as_text(name)}; if it is the data set, give "
                f"--dataset {quoted(folder / name)}"
            )


def _candidates(names: list[str]) -> tuple[dict[str, Part], set[str]]:
    """Folders whose names may mean parts; and those that count only because another name differs just in the part.

    For example, seg_train and seg_test.
    """
    read = {name: _read_name(name) for name in names}
    alike: dict[str, set[Part]] = defaultdict(set)
    for part, rest in read.values():
        if part is not None:
            alike[rest].add(part)
    parts = {name: part for name, (part, rest) in read.items() if part and (not rest or len(alike[rest]) > 1)}
    return parts, {name for name in parts if read[name][1]}


def _read_name(name: str) -> tuple[Part | None, str]:
    """The part that a name mentions, and its other words: `seg_train` -> train, 'seg'; None unless it is one part."""
    words = [word.casefold() for word in _WORD.findall(as_text(name))]
    mentioned = [(word, part) for word in words if (part := _part_word(word)) is not None]
    if {part for _, part in mentioned} == {"train", "val"}:  # train_val holds both, and both are for training
        mentioned = [(word, "train") for word, _ in mentioned]
    if len({part for _, part in mentioned}) != 1:
        return None, name
    spoken = {word for word, _ in mentioned}
    return mentioned[0][1], " ".join(w for w in words if w not in spoken | _FILLERS and not w.isdigit())


def _part_word(word: str) -> Part | None:
    stems = [word, *(word[: -len(tail)] for tail in _TAILS if word.endswith(tail))]
    return next((_PART_OF[stem] for stem in stems if stem in _PART_OF), None)


def _one_each(folder: Path, parts: dict[str, Part]) -> dict[Part, Path]:
    names: dict[Part, list[str]] = defaultdict(list)
    for name, part in parts.items():
        names[part].append(name)
    for part, several in names.items():
        if len(several) > 1:
            raise DataError(
                f"{some([as_text(name) for name in several])} in {as_text(folder)} could each be the {part} part; "
                f"rename or move away what is not"
            )
    return {part: folder / several[0] for part, several in names.items()}


def _only_inner(folder: Path, names: list[str], *, depth: int = 0) -> Path | None:
    """The only sub-folder, if it is the real data set: it repeats the name, has a filler name, or holds the parts."""
    if len(names) != 1 or depth > _DEEPEST or any(loose_pictures(folder)):
        return None
    inner = folder / names[0]
    if os.path.realpath(inner) == os.path.realpath(folder) or part_of(names[0]) is not None:
        return None
    within = subfolders(inner)
    says_nothing = all(word.casefold() in _FILLERS for word in _WORD.findall(as_text(names[0])))
    if within and (says_nothing or names[0].casefold() == folder.name.casefold()):
        return inner
    parts, _ = _candidates(within)
    again = "train" in parts.values() or _only_inner(inner, within, depth=depth + 1) is not None
    return inner if again else None


def _inside(root: Path, part: Part) -> Path:
    """The folder that holds a part's class folders: seg_train/seg_train if an archive was unpacked that way."""
    for _ in range(_DEEPEST):
        names = subfolders(root)
        if len(names) != 1 or (part_of(names[0]) != part and names[0].casefold() != root.name.casefold()):
            break
        if not subfolders(root / names[0]) or any(loose_pictures(root)):
            break
        root = root / names[0]
    return root


def _distinct(layout: Layout) -> Layout:
    roots = [root for root in (layout.train, layout.val, layout.test) if root is not None]
    if len({os.path.realpath(root) for root in roots}) < len(roots):
        raise DataError(f"{some([as_text(root) for root in roots])} are links to one folder; give each part its own")
    return layout


def _holds_pictures(folder: Path) -> bool:
    """Whether there are pictures in a folder or in its sub-folders."""
    return any(loose_pictures(folder)) or any(any(loose_pictures(folder / name)) for name in subfolders(folder))
