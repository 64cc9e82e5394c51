"""A digest of a whole file, stored in the file, to notice later changes.

It protects against damage and mix-ups. It is not a signature: anybody can change a file and seal it again, so a valid
digest does not make a file trustworthy.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from replaytree.errors import ModelError

DIGEST_KEY = "replaytree.sha256"
NO_DIGEST = "0" * 64
_DIGEST = re.compile(r"[0-9a-f]{64}")


def sealed(content: bytes) -> bytes:
    """The content with the digest in place of NO_DIGEST, which must occur once."""
    place = NO_DIGEST.encode()
    assert content.count(place) == 1, "the digest has one place in the file"
    return content.replace(place, hashlib.sha256(content).hexdigest().encode())


def require_seal(content: bytes, found: str | None, *, origin: str) -> None:
    """Raise ModelError unless `found`, the digest stored in the content, is correct."""
    digest = (found or "").encode()
    if not _DIGEST.fullmatch(found or "") or content.count(digest) != 1:
        raise changed(origin)
    if hashlib.sha256(content.replace(digest, NO_DIGEST.encode())).hexdigest() != found:
        raise changed(origin)


def ends_with_seal(file: Path) -> bool:
    """Whether a file's last 64 bytes are the digest of what is before them, and of NO_DIGEST.

    The file is read in pieces, because it may be of any size.
    """
    with file.open("rb") as stream:
        before = max(0, stream.seek(0, 2) - len(NO_DIGEST))
        stream.seek(before)
        found = stream.read(len(NO_DIGEST)).decode("latin-1")
        if not _DIGEST.fullmatch(found):
            return False
        total = hashlib.sha256()
        stream.seek(0)
        while before > 0 and (part := stream.read(min(before, 2**20))):
            total.update(part)
            before -= len(part)
    total.update(NO_DIGEST.encode())
    return total.hexdigest() == found


def changed(origin: str) -> ModelError:
    """The error for a file whose digest does not fit."""
    return ModelError(
        f"{origin} was changed after it was written: its content does not match its digest; copy or export it anew"
    )
