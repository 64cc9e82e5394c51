"""The files that hold the states of evaluators: beside the database, or in the folder that `--state-dir` names.

    replaytree.db.state/first-3f2a9c1b/120-9d0c5e1f42aa.pt

A search has a folder of its own there, and a file a turn, called after the number of its episodes and the file's own
checksum: two processes that drive one search never write one name with different contents. A file is whole and on the
disk before a transaction refers to it, and goes two turns later. Kept weights (--weights inherited) are .safetensors.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import URL

from replaytree.errors import StateUnusable, StorageUnavailable
from replaytree.tree.names import usable_name
from replaytree.tree.sqlite_file import file_of

SUFFIX = ".state"
SUFFIXES = (".pt", ".safetensors")
_NAME = re.compile(rf"(\d+)-[0-9a-f]{{12}}({'|'.join(map(re.escape, SUFFIXES))})")
_PARTIAL = ".partial"
_PRIOR = "prior.pt"


@dataclass(frozen=True, slots=True)
class StateFile:
    """A reference to a stored state. `file` is relative to `folder`; None is the folder beside the database.

    `epochs_before` is added to the epochs that the evaluator reports: those of before its weights were last made anew.
    """

    folder: str | None
    file: str
    size_bytes: int
    sha256: str
    epochs_before: int = 0

    def path(self, url: URL) -> Path:
        """Where it is, as the database at `url` says."""
        return _root(url, self.folder) / self.file

    def remove(self, url: URL) -> None:
        """Remove it, where nothing refers to it any more."""
        with suppress(OSError):
            self.path(url).unlink(missing_ok=True)


class StateFolder:
    """The files of one search. `folder` is where the user wants them; None is beside the database."""

    def __init__(self, url: URL, folder: str | None, *, name: str) -> None:
        self._root = _root(url, folder)
        self._folder = folder
        self.name = name

    @property
    def path(self) -> Path:
        """The search's own folder."""
        return self._root / self.name

    def write(self, payload: bytes, *, suffix: str, episode_count: int, epochs_before: int) -> StateFile:
        """Write a file and flush it to the disk; StorageUnavailable where that cannot be done.

        `suffix` is one of SUFFIXES, by the form of the payload.
        """
        digest = hashlib.sha256(payload).hexdigest()
        name = f"{episode_count}-{digest[:12]}{suffix}"
        try:
            self._write(name, payload)
        except OSError as error:
            raise StorageUnavailable(
                f"the state of the evaluator cannot be written to {self.path} ({error.strerror or error}), so nothing "
                f"of this turn was stored; make room or make the folder writable, or choose another (--state-dir)"
            ) from error
        return StateFile(self._folder, f"{self.name}/{name}", len(payload), digest, epochs_before)

    def write_prior(self, payload: bytes) -> None:
        """Keep how far a prior is, in place of what was kept before; OSError where that cannot be done."""
        self._write(_PRIOR, payload)

    def read_prior(self) -> bytes | None:
        """How far a prior is; None where nothing is kept."""
        try:
            return (self.path / _PRIOR).read_bytes()
        except OSError:
            return None

    def remove_prior(self) -> None:
        """Remove how far a prior is, what a kill left of its files, and the folders, where nothing else is there."""
        self._remove(path for path in self._files() if path.name == _PRIOR or path.name.endswith(_PARTIAL))
        self._remove_empty()

    def _write(self, name: str, payload: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(suffix=_PARTIAL, dir=self.path)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path / name)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        # The folders hold the names.
        for folder in (self.path, self._root):
            _flush(folder)

    def remove_orphans(self, kept: StateFile) -> StateFile | None:
        """Remove what interruptions left: all but the file that the database refers to, and the one before it.

        Returns the latter, where there is one.
        """
        found = [(int(match[1]), path) for path in self._files() if (match := _NAME.fullmatch(path.name))]
        now = self._root / kept.file
        count = next((count for count, path in found if path == now), 0)
        before = max(((other, path) for other, path in found if other < count), default=(0, None))[1]
        left = [path for _, path in found if path not in (now, before)]
        self._remove([*left, *(path for path in self._files() if path.name.endswith(_PARTIAL))])
        return None if before is None else replace(kept, folder=self._folder, file=f"{self.name}/{before.name}")

    def remove_all(self) -> None:
        """Remove the folder of a search that is no more; files that are not of replaytree stay, and so does it."""
        own = (_PRIOR, _PARTIAL)
        self._remove(path for path in self._files() if _NAME.fullmatch(path.name) or path.name.endswith(own))
        self._remove_empty()

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _remove_empty(self) -> None:
        for folder in (self.path, self._root if self._folder is None else self.path):
            with suppress(OSError):
                folder.rmdir()

    def _files(self) -> Iterator[Path]:
        try:
            yield from sorted(self.path.iterdir())
        except OSError:
            return


def read_state(file: StateFile, url: URL) -> bytes:
    """The contents of a file; StateUnusable where it is missing or is not the one that was stored."""
    path = file.path(url)
    try:
        payload = path.read_bytes()
    except OSError as error:
        why = "missing" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        raise StateUnusable(f"{path} is {why}", why=why) from error
    if len(payload) != file.size_bytes or hashlib.sha256(payload).hexdigest() != file.sha256:
        why = "damaged or of another search: its checksum is not the stored one"
        raise StateUnusable(f"{path} is {why}", why=why)
    return payload


def needs_folder(url: URL) -> bool:
    """Whether a database has no folder beside it: one in memory, or on a server."""
    return file_of(url) is None


def own_name(url: URL, name: str, *, folder: str | None, search_id: int, created: str) -> str:
    """The name of a search's folder: its own, or what that was when the folder was made, and letters that no other
    search in the same place has.
    """
    file = file_of(url)
    place = str(file.absolute()) if file is not None else url.render_as_string(hide_password=True)
    token = hashlib.sha256(repr((place, search_id, created)).encode()).hexdigest()[:8]
    made = next(_root(url, folder).glob(f"*-{token}"), None)
    return f"{usable_name(name, otherwise='search')[:60].rstrip()}-{token}" if made is None else made.name


def _root(url: URL, folder: str | None) -> Path:
    if folder is not None:
        return Path(folder)
    file = file_of(url)
    if file is None:
        raise StateUnusable("its database is no file, so that no folder is beside it")
    return state_folder_of(file)


def state_folder_of(file: Path) -> Path:
    """The folder beside a SQLite file."""
    return file.with_name(file.name + SUFFIX)


def _flush(folder: Path) -> None:
    """To the disk; some file systems do that by themselves, and refuse to be told."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
