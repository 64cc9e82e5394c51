"""Decoded pictures kept on disk. The key is the content of the files, not their names or times.

Shapes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL

from replaytree.config.source import Resize
from replaytree.data.decode import Decoded, read_images
from replaytree.data.deep import Range
from replaytree.data.resize import SQUASH, Sides
from replaytree.data.threaded import over_files
from replaytree.sources.named import cache_folder

MOST_BYTES = 4 << 30
_VERSION = 3


def decode_cached(
    paths: Sequence[str], *, sides: Sides, resize: Resize = SQUASH, ranges: Mapping[str, Range] | None = None
) -> Decoded:
    """Like read_images, but read from the cache if files of the same content were decoded in the same way before."""
    file = cache_folder() / "images" / f"{_key(paths, sides, resize, ranges)}.npz"
    decoded = _read(file, count=len(paths), sides=sides)
    if decoded is None:
        decoded = read_images(paths, sides=sides, resize=resize, ranges=ranges)
        _write(file, decoded)
    return decoded


def content_hashes(paths: Sequence[str]) -> list[bytes]:
    """A hash of each file's content; for an unreadable file, a hash of the reason.

    Hashing takes a small part of the time that decoding takes.
    """
    hashes = [b""] * len(paths)

    def some(part: range) -> None:
        for position in part:
            hashes[position] = _hash(paths[position])

    over_files(some, len(paths))
    return hashes


def _hash(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        return hashlib.sha256(f"errno {error.errno}".encode()).digest()


def _key(paths: Sequence[str], sides: Sides, resize: Resize, ranges: Mapping[str, Range] | None) -> str:
    given = [] if ranges is None else [sorted(ranges.items())]
    digest = hashlib.sha256(json.dumps([_VERSION, PIL.__version__, *sides, resize, *given]).encode())
    for path, content in zip(paths, content_hashes(paths), strict=True):
        digest.update(content)
        digest.update(
            os.path.splitext(path)[1].lower().encode(errors="surrogateescape") + b"\0"
        )  # Pillow uses it to choose a decoder
    return digest.hexdigest()


def _read(file: Path, *, count: int, sides: Sides) -> Decoded | None:
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:  # the zip's CRC reveals damage
            images = arrays["images"]
            known = json.loads(arrays["known"].tobytes())
            bad = {int(position): str(why) for position, why in known["bad"].items()}
            ranges = {kind: (float(low), float(high)) for kind, (low, high) in known["ranges"].items()}
            decoded = Decoded(images, bad, ranges, int(known["deep"]), int(known["framed"]))
        os.utime(file)
    # zipfile raises RuntimeErrors for a password and for compression that it does not know.
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile):
        return None
    shapes = [(count, channels, *sides) for channels in (1, 3)]
    if images.dtype != np.uint8 or images.shape not in shapes or not all(0 <= position < count for position in bad):
        return None
    return decoded


def _write(file: Path, decoded: Decoded) -> None:
    """Write beside the final name and rename, so that no reader sees half a file. If that fails, nothing is cached."""
    known = {"bad": decoded.bad, "ranges": decoded.ranges, "deep": decoded.deep, "framed": decoded.framed}
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".tmp", delete=False) as stream:
            temporary = stream.name
            text = np.frombuffer(json.dumps(known).encode(), dtype=np.uint8)
            np.savez(stream, images=decoded.images_NCHW, known=text)
        os.replace(temporary, file)
        _prune(file)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _prune(newest: Path) -> None:
    """Delete the least recently used files until the rest takes at most MOST_BYTES."""
    kept = 0
    found = [(entry.stat(), Path(entry.path)) for entry in os.scandir(newest.parent) if entry.is_file()]
    for stat, file in sorted(found, key=lambda each: -each[0].st_mtime_ns):
        kept += stat.st_size
        if kept > MOST_BYTES and file != newest:
            file.unlink(missing_ok=True)
