"""Files that appear whole or not at all, and one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from replaytree.errors import ConfigError, ModelError

# The errors of a file system without locks. Then no lock is taken, and each writer still has its own file.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
# How often, and how many seconds apart, a lock without the number of its holder is looked at again.
_TRIES, _PAUSE = 20, 0.05


def write_whole(file: Path, content: bytes) -> None:
    """Write beside the final name, under a name unique to this process, and rename; ModelError if that fails.

    Whatever happens, the name holds the old content or the new, and nothing else is left behind. A link stays a link.
    """
    place = Path(os.path.realpath(file))
    draft = place.with_name(f".replaytree-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, place)
    except OSError as error:
        raise not_written(file, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def not_written(file: Path, error: OSError) -> ModelError:
    """The error for a file that the operating system does not let us write."""
    reason = error.strerror or str(error)
    then = "make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "fix that"
    return ModelError(f"{file} cannot be written: {reason}; {then}, or choose another place with --out")


def require_target(file: Path, *, force: bool) -> None:
    """Raise ConfigError unless a regular file may be written here; an existing one is replaced only with `force`."""
    try:
        parent = os.stat(file.parent)
    except FileNotFoundError:
        raise ConfigError(f"the folder {file.parent} does not exist; make it, or choose another --out") from None
    except OSError as error:
        raise ConfigError(f"out is {file}, which cannot be written: {error.strerror}; choose another --out") from error
    if not stat.S_ISDIR(parent.st_mode):
        raise ConfigError(f"out is {file}, but {file.parent} is a file, not a folder; choose another --out")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"out is {file}, but the folder {file.parent} may not be written; choose another --out")
    try:
        mode = os.lstat(file).st_mode
        if stat.S_ISLNK(mode):
            mode = os.stat(file).st_mode
    except FileNotFoundError:
        if file.is_symlink():
            raise ConfigError(f"out is {file}, a link that leads nowhere; remove it, or choose another --out") from None
        return
    except OSError as error:
        raise ConfigError(f"out is {file}, which cannot be written: {error.strerror}; choose another --out") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise ConfigError(f"out is {file}, which is {kind}; choose another --out")
    if not force:
        raise ConfigError(f"{file} exists; choose another --out, or give --force to replace it")


def require_folder(folder: Path) -> None:
    """Make the folder if it does not exist; ConfigError if that fails, or if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        kind = "a link that leads nowhere" if folder.is_symlink() else "a file, not a folder"
        raise ConfigError(f"out is {folder}, which is {kind}; choose another --out") from None
    except OSError as error:
        raise ConfigError(f"the folder {folder} cannot be made: {error.strerror}; choose another --out") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"the folder {folder} may not be written; choose another --out")


@contextmanager
def only_writer(file: Path) -> Iterator[None]:
    """Keep other processes from writing `file` meanwhile; ModelError if one is writing it already.

    The operating system releases the lock of a dead process, however it died.
    """
    lock = file.with_suffix(".lock")
    descriptor = _locked(lock, file)
    try:
        yield
    finally:
        # Removed while it is still held, so that nobody locks a deleted file.
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _locked(lock: Path, file: Path) -> int:
    patience = _TRIES
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise not_written(lock, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return descriptor
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            if not holder and (patience := patience - 1):
                # Between its lock and its number, or between removing the file and releasing it.
                time.sleep(_PAUSE)
                continue
            raise ModelError(
                f"another process ({holder or 'unknown'}) is training {file}; wait until it is done and try again, "
                f"or choose another folder with --out"
            ) from error
        # The previous holder may have removed the name between our two steps.
        with suppress(OSError):
            if os.path.samestat(os.stat(lock), os.fstat(descriptor)):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}".encode())
                return descriptor
        os.close(descriptor)
