"""Choose the database, and name it in commands that can be pasted."""

from __future__ import annotations

import os
import re
import shlex
from urllib.parse import quote

from replaytree.errors import ConfigError

DEFAULT_STORAGE = "sqlite:///replaytree.db"


def storage_url(storage: str | None = None) -> str:
    """The URL given, else that of REPLAYTREE_STORAGE, else sqlite:///replaytree.db.

    Anything but a URL is the name of a SQLite file: 'tree.db', '~/tree.db', 'C:\\tree.db' on Windows.
    """
    storage = storage or os.environ.get("REPLAYTREE_STORAGE") or DEFAULT_STORAGE
    # A scheme of one letter is a Windows drive; sqlite:x.db and the like are mistyped URLs.
    if "://" in storage or not storage.strip() or re.match(r"(sqlite|postgres\w*)[+:]", storage):
        return storage
    if re.match(r"[A-Za-z]:[\\/]", storage) and os.name != "nt":
        raise ConfigError(
            f"storage is {storage!r}, a path of Windows, and this is another system; give a path that exists here "
            f"(--storage)"
        )
    return file_url(os.path.expanduser(storage))


def file_url(path: str | os.PathLike[str]) -> str:
    """The URL of a SQLite file, whatever characters its name has."""
    return f"sqlite:///{re.sub('[%?#]', lambda found: quote(found[0]), os.fspath(path))}"


def without_password(url: str) -> str:
    """A URL for people: passwords are replaced by ***, in the host part and in the query."""
    url = re.sub(r"(//[^:/@]*:)[^/]*@", r"\1***@", url)
    return re.sub(r"(?i)([?&](?:password|sslpassword|passfile)=)[^&]*", r"\1***", url)


def command(*words: object, storage: str | None = None, data_dir: str | None = None) -> str:
    """A replaytree command that can be pasted: quoted for the shell, with the options needed to find its data.

    `storage` is the database's URL; None is the one that a command without `--storage` finds. `data_dir` likewise.
    """
    url = storage_url(storage)
    there = [] if data_dir in (None, os.environ.get("REPLAYTREE_DATA")) else ["--data-dir", data_dir]
    there += [] if url == storage_url() else ["--storage", without_password(url)]
    return shlex.join(["replaytree", *map(str, words), *there])
