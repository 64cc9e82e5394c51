"""What SQLAlchemy and its drivers raise, as replaytree's errors; and storage URLs as they may be shown."""

from __future__ import annotations

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from replaytree.config import command, without_password
from replaytree.errors import ConnectionLost, DatabaseBusy, ForeignDatabase, StorageError, StorageUnavailable


def shown(url: URL | str) -> str:
    """The URL for people: passwords are replaced by ***, in the host part and in the query."""
    text = url.render_as_string(hide_password=True) if isinstance(url, URL) else url
    return without_password(text)


def advice(url: URL, *words: object) -> str:
    """A command on the database at `url`, in back quotes."""
    # The driver that a URL without one stands for is no news to anyone.
    url = url.set(drivername="postgresql") if url.drivername == "postgresql+psycopg" else url
    return f"`{command(*words, storage=url.render_as_string(hide_password=False))}`"


_Answer = tuple[type[StorageError], str]
_OPENING: _Answer = (StorageUnavailable, "{name} cannot be opened ({text}); check --storage")
_KNOWN: tuple[tuple[tuple[str, ...], _Answer], ...] = (
    (
        ("not a database", "malformed"),
        (
            ForeignDatabase,
            "{name} is not a SQLite database, or it is damaged ({text}); "
            "choose another file with --storage, or restore a backup",
        ),
    ),
    (
        # deadlock_detected, serialization_failure
        ("is locked", "[40p01]", "[40001]"),
        (
            DatabaseBusy,
            "{name} is in use by another process ({text}); wait until that one has finished, or stop it, and try again",
        ),
    ),
    (
        ("disk is full", "no space left"),
        (StorageError, "{name} cannot grow: the disk is full ({text}); free some space and try again"),
    ),
    (
        ("disk i/o error",),
        (
            StorageError,
            "{name} could not be read or written ({text}): the disk is full, over a quota, or failing; what was "
            "committed stays; make room and try again; {check} looks for damage",
        ),
    ),
    (
        ("readonly", "read-only"),
        (
            StorageUnavailable,
            "{name} is read-only ({text}); make the file and its folder writable, or copy it elsewhere",
        ),
    ),
    (("unable to open",), _OPENING),
)
_LOST: _Answer = (
    ConnectionLost,
    "the connection to {name} was lost ({text}); what was committed stays, nothing of this step was stored; "
    "when the server is back, {resume} goes on from there",
)
# Connection exceptions; admin_shutdown, crash_shutdown, cannot_connect_now.
_GONE = ("08", "57P")
_OTHER: _Answer = (
    StorageError,
    "{name} refused a statement ({text}); {check} looks for damage",
)


def translated(error: Exception, url: URL, *, opening: bool = False, cut: str | None = None) -> StorageError:
    """The StorageError that says what happened to the storage at `url`, and what to do next.

    `cut` says how much of a file is missing, where it is known that some is.
    """
    text = _cause(error, url) + (f": {cut}" if cut else "")
    otherwise = _OPENING if opening else _LOST if _is_lost(error, url) else _OTHER
    known = f"{text} [{_code(error)}]".lower()
    answers = (answer for words, answer in _KNOWN if any(word in known for word in words))
    kind, message = next(answers, otherwise)
    commands = {"check": advice(url, "db", "check"), "resume": advice(url, "resume")}
    return kind(message.format(name=shown(url), text=text, **commands))


def _is_lost(error: Exception, url: URL) -> bool:
    """Whether the server is gone, is going, or is not yet back."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    # Of psycopg's operational errors only those of a connection that could not be made have no code.
    gone = (_code(error) or "08").startswith(_GONE)
    return url.get_backend_name() == "postgresql" and isinstance(error, OperationalError) and gone


def _code(error: Exception) -> str | None:
    """PostgreSQL's SQLSTATE."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def _cause(error: Exception, url: URL) -> str:
    """The driver's own words, on one line, without a password."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = " ".join(str(cause).split())
    return text.replace(url.password, "***") if url.password else text
