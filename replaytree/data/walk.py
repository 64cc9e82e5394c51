"""Find the pictures in and below folders, and count what is left out and why.

A walk follows links, but enters no folder twice, so loops end and no picture counts twice. It opens regular files
only, and gives up if a tree is too large to be a data set.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from replaytree.data.decode import reason
from replaytree.errors import DataError
from replaytree.sources.names import as_text, count_of

MOST_ENTRIES = 5_000_000
MOST_SECONDS = 300.0
# A folder of pictures is mostly pictures; /usr and a home folder are not.
_PROBE_ENTRIES, _PROBE_SHARE = 100_000, 0.02
_HIDDEN = {"__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found"}
_SYSTEM = tuple(Path(each) for each in ("/proc", "/sys", "/dev"))
_MEMORY = Path("/dev/shm")  # files like any other, in memory
# Pillow recognises these formats, but needs Ghostscript or another program to decode them.
_FOREIGN = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC"}
# Recognised by extension only: these files have no signature of their own, so any file could be one.
_UNMARKED = {"TGA", "IM", "IMT", "PCD", "SPIDER", "MCIDAS", "XVTHUMB", "PCX", "DIB", "CUR", "MSP", "FLI"}


@dataclass(slots=True)
class Found:
    """Picture files, sorted by folder and name; and folders and links that cannot be read, each with the reason."""

    pictures: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


class Walk:
    """One reading of a data set: several folders, walked one after the other or together.

    `left_out` counts what was not taken, by kind. Nothing below the folders `avoid` is taken, even if a link leads
    there.
    """

    def __init__(self, top: Path, *, avoid: Iterable[Path] = ()) -> None:
        self.left_out: Counter[str] = Counter()
        self._top = top
        self._above: set[str] = set()
        self._avoid = tuple(os.path.realpath(each) for each in avoid)
        self._owner: dict[str, int] = {}
        self._linked: dict[str, int] = {}
        self._entries = self._pictures = 0
        self._started = time.monotonic()

    def below(self, roots: Sequence[Path]) -> list[Found]:
        """The pictures of each root. A root that is a link counts as the folder it leads to."""
        found = [Found() for _ in roots]
        for root in roots:
            for inside in (Path(os.path.realpath(root.parent), root.name), Path(os.path.realpath(root))):
                self._above.update(map(str, inside.parents))
        links: deque[tuple[int, str]] = deque()
        for number in sorted(range(len(roots)), key=lambda number: roots[number].is_symlink()):
            path = os.fspath(roots[number])
            _refuse_system(path)
            if self._enter(path, number):
                links += ((number, link) for link in self._folder(path, number, found[number]))
        # Links come last, so that their targets belong to the class that really holds them.
        while links:
            number, link = links.popleft()
            links += ((number, further) for further in self._link(link, number, found[number]))
        for each in found:
            each.pictures.sort(key=os.path.split)
        return found

    def _folder(self, folder: str, number: int, found: Found) -> list[str]:
        """Take the pictures of a folder and its sub-folders; returns the links met on the way."""
        links: list[str] = []
        stack = [folder]
        while stack:
            here = stack.pop()
            try:
                with os.scandir(here) as listed:
                    entries = list(listed)
            except OSError as error:
                found.unreadable.append((here, reason(error)))
                continue
            for entry in entries:
                self._count(here)
                if is_hidden(entry.name):
                    folder_too = entry.is_dir(follow_symlinks=False)
                    self.left_out["hidden folder" if folder_too else "hidden file"] += 1
                elif entry.is_symlink():
                    links.append(entry.path)
                elif entry.is_dir():
                    if self._enter(entry.path, number):
                        stack.append(entry.path)
                elif entry.is_file():
                    self._take(entry.path, found)
                else:
                    self.left_out["special file"] += 1
        return links

    def _link(self, link: str, number: int, found: Found) -> list[str]:
        target = os.path.realpath(link)
        if any(target == each or target.startswith(each + os.sep) for each in self._avoid):
            self.left_out["link into the test part"] += 1
        elif os.path.isdir(target):
            if self._enter(link, number):
                return self._folder(link, number, found)
            self.left_out["link to a folder that is read anyway"] += 1
        elif os.path.isfile(target):
            owner = self._owner.get(os.path.dirname(target), self._linked.get(target))
            if owner is None:
                self._linked[target] = number
                self._take(link, found)
            else:
                what = "counted already" if owner == number else "of another class or part"
                self.left_out[f"link to a picture {what}"] += 1
        elif has_picture_name(link) and not os.path.exists(target):
            found.unreadable.append((link, "a link that leads nowhere"))
        else:
            self.left_out["link that leads nowhere" if not os.path.exists(target) else "special file"] += 1
        return []

    def _enter(self, path: str, number: int) -> bool:
        """Claim a folder for root `number`; False if it is claimed already or contains a root."""
        real = os.path.realpath(path)
        if real in self._owner or real in self._above:
            return False
        _refuse_system(real)
        self._owner[real] = number
        return True

    def _take(self, path: str, found: Found) -> None:
        if is_picture(path):
            self._pictures += 1
            found.pictures.append(path)
        else:
            self.left_out[os.path.splitext(as_text(path))[1].lower() or "file without extension"] += 1

    def _count(self, here: str) -> None:
        self._entries += 1
        few = self._entries >= _PROBE_ENTRIES and self._pictures < _PROBE_SHARE * self._entries
        if few or self._entries > MOST_ENTRIES or time.monotonic() - self._started > MOST_SECONDS:
            raise DataError(
                f"gave up on {as_text(self._top)} after {self._entries:,} files and folders in "
                f"{time.monotonic() - self._started:.0f} s, at {as_text(here)}: "
                f"{count_of(self._pictures, 'picture')} among them. Give the folder that holds the class folders"
            )


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to a system or program: .ipynb_checkpoints, @eaDir, __MACOSX, and the like."""
    return name.startswith(".") or name.casefold() in _HIDDEN


def has_picture_name(path: str) -> bool:
    """Whether the extension belongs to a format that Pillow reads."""
    return os.path.splitext(path)[1].lower() in _extensions(len(Image.EXTENSION))


def is_picture(path: str) -> bool:
    """Whether a file is a picture, by its extension or else by its content."""
    if has_picture_name(path):
        return True
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return False
        with open(path, "rb") as file:
            start = file.read(16)
        forms = [form for form in _marked(len(Image.OPEN)) if _begins(form, start)]
        if not forms:
            return False
        with Image.open(path, formats=forms):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # as in decoding, Pillow may raise anything
        return False


def is_empty(folder: Path) -> bool:
    """Whether there are no pictures in a folder or below it, nor what may be some and cannot be read."""
    if any(loose_pictures(folder)):
        return False
    (found,) = Walk(folder).below([folder])
    return not found.pictures and not found.unreadable


def subfolders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted, without hidden ones. DataError if the folder cannot be read."""
    _refuse_system(os.fspath(folder))
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"the folder {as_text(folder)} cannot be read: {reason(error)}") from error


def dead_links(folder: Path) -> list[str]:
    """The names of the links in a folder that lead nowhere, sorted, without hidden ones."""
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_symlink() and not is_hidden(entry.name) and not os.path.exists(entry.path)
        )
    return []


def hidden_folders(folder: Path) -> int:
    """How many hidden folders are directly in a folder."""
    with os.scandir(folder) as entries:
        return sum(is_hidden(entry.name) and entry.is_dir() for entry in entries)


def loose_pictures(folder: Path) -> Iterator[str]:
    """The pictures directly in a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not is_hidden(entry.name) and entry.is_file() and is_picture(entry.path):
                yield entry.path


def _begins(form: str, start: bytes) -> bool:
    """Whether a file with these first bytes may be of this format of Pillow's."""
    accept = Image.OPEN[form][1]
    try:
        return accept is not None and bool(accept(start))
    except Exception:  # these read numbers at fixed offsets, and the file may be shorter
        return False


# Pillow's formats; the argument makes the cache notice one that a plug-in adds (pillow-heif does).
@cache
def _extensions(_: int) -> frozenset[str]:
    known = Image.registered_extensions()
    return frozenset(each for each, form in known.items() if form in Image.OPEN and form not in _FOREIGN)


@cache
def _marked(_: int) -> tuple[str, ...]:
    Image.init()
    return tuple(form for form in Image.OPEN if form not in _FOREIGN | _UNMARKED)


def _refuse_system(folder: str) -> None:
    real = Path(os.path.realpath(folder))
    if _MEMORY not in (real, *real.parents) and any(each in (real, *real.parents) for each in _SYSTEM):
        raise DataError(f"{as_text(folder)} is a part of the operating system, and holds no pictures")
