"""Which of the given files and folders can be predicted, and why the others cannot."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replaytree.data.walk import is_picture
from replaytree.deliver.pictures import find_pictures, is_array
from replaytree.errors import DataError
from replaytree.sources.names import did_you_mean


@dataclass(frozen=True, slots=True)
class PictureInputs:
    """Files to predict, and the given paths that cannot be predicted, each with the reason."""

    files: tuple[Path, ...]
    bad: tuple[tuple[Path, str], ...]


def picture_inputs(inputs: Sequence[Path]) -> PictureInputs:
    """Files as they are; of a folder all pictures in and below it, sorted. Unreadable ones do not stop the rest.

    Pipes and devices are not opened, because reading them may never end.
    """
    files: list[Path] = []
    bad: list[tuple[Path, str]] = []
    for given in inputs:
        reason = _why_not(given)
        if reason is None:
            try:
                files += find_pictures(given)
                continue
            except (DataError, OSError) as error:
                reason = str(error)
        bad.append((given, reason))
    return PictureInputs(tuple(files), tuple(bad))


def _why_not(given: Path) -> str | None:
    try:
        mode = os.stat(given).st_mode
    except FileNotFoundError:
        if given.is_symlink():
            return "a link that leads nowhere"
        return f"there is no such file or folder{did_you_mean(given)}"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if stat.S_ISDIR(mode):
        return None if os.access(given, os.R_OK | os.X_OK) else "permission denied"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return _why_no_picture(given) if os.access(given, os.R_OK) else "permission denied"


def _why_no_picture(given: Path) -> str | None:
    if is_array(given) or is_picture(os.fspath(given)):
        return None
    return "it is no picture; predict takes pictures, folders of them, and .npy and .npz files of images"
