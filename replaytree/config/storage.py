"""Which database is meant, and how it is named in commands that people paste."""

from __future__ import annotations

import os
import re
import shlex

DEFAULT_STORAGE = "sqlite:///replaytree.db"


def storage_url(storage: str | None = None) -> str:
    """The URL given, else that of REPLAYTREE_STORAGE, else sqlite:///replaytree.db."""
    return storage or os.environ.get("REPLAYTREE_STORAGE") or DEFAULT_STORAGE


def without_password(url: str) -> str:
    """A URL for people: passwords are replaced by ***, in the host part and in the query."""
    url = re.sub(r"(//[^:/@]*:)[^/]*@", r"\1***@", url)
    return re.sub(r"(?i)([?&](?:password|sslpassword|passfile)=)[^&]*", r"\1***", url)


def command(*words: object, storage: str | None = None) -> str:
    """A replaytree command that can be pasted: quoted for the shell, with `--storage` where it would be missed.

    `storage` is the database's URL, None the one that a command without `--storage` finds.
    """
    url = storage_url(storage)
    there = [] if url == storage_url() else ["--storage", without_password(url)]
    return shlex.join(["replaytree", *map(str, words), *there])
