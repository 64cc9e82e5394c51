"""The folder of a report, and writing its page whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from replaytree.errors import ConfigError


def folder_name(name: str) -> str:
    """The folder of a search: its name if that is valid, else its valid characters and a few digits of its hash."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip(".-")
    safe = safe.encode(errors="ignore")[:160].decode(errors="ignore")
    if safe == name:
        return name
    return f"{safe or 'search'}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"


def write_whole(path: Path, text: str) -> Path:
    """Write beside the file, then rename: a reader sees the old page or the new one.

    Raises ConfigError, naming the option, where the folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=".writing-", suffix=".html", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        # NamedTemporaryFile makes files for their owner only; a page is for everybody who may read the folder.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}); choose another folder with --out"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
