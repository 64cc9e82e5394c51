"""One driver a search: who holds its lease, how it is taken, kept and given back.

A lease is a row that names a process. Its holder beats every ten seconds, and each record of the search looks, in its
own transaction, whether the row still names the holder (fencing). Taking a lease from a process that turns out to be
alive therefore harms nothing: that process learns of it before it can write a state over the new holder's.
"""

from __future__ import annotations

import os
import platform
import secrets
import socket
import subprocess
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.pool import StaticPool

from replaytree.errors import LeaseLost, SearchHeld, StorageError
from replaytree.tree.deaths import Deaths
from replaytree.tree.engine import reading, writing
from replaytree.tree.inserts import insert_for
from replaytree.tree.retrying import write
from replaytree.tree.schema import leases
from replaytree.tree.storage_errors import advice

BEAT_SECONDS = 10.0
SILENT_SECONDS = 60.0

# The leases that objects of this process hold: one with our own process number that is not here was left behind.
_held_here: set[str] = set()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that a lease names. `silent_seconds`: since its last beat, by the database's clock."""

    token: str
    host: str
    pid: int
    process: str
    acquired_at: datetime
    silent_seconds: float
    deaths: Deaths

    @property
    def is_gone(self) -> bool:
        """True where the process has certainly ended; False where it runs or cannot be seen from here."""
        if self.host != socket.gethostname():
            return False
        if self.process == process_identity(os.getpid()):
            return self.token not in _held_here
        if self.process.rpartition(" ")[0] != _place():
            return False
        return process_identity(self.pid) != self.process

    @property
    def left(self) -> Deaths:
        """What the next driver takes over: with the training that it died in, if it died and did not just let go."""
        died = self.is_gone and self.process != process_identity(os.getpid())
        return self.deaths.inherited() if died or self.silent_seconds > SILENT_SECONDS else self.deaths.let_go()

    @property
    def text(self) -> str:
        """Who, since when, and when last seen."""
        seen = timedelta(seconds=round(max(0.0, self.silent_seconds)))
        return (
            f"process {self.pid} on {self.host}, since {self.acquired_at:%Y-%m-%d %H:%M:%S} UTC, last seen {seen} "
            f"(h:mm:ss) ago"
        )


class Lease:
    """The right to drive one search, kept alive by a thread that beats on short connections of its own."""

    def __init__(self, engine: Engine, search_id: int, name: str, *, take_over: bool = False) -> None:
        """Take it; raises SearchHeld where another process has it, unless that one is gone or `take_over`."""
        self.token = secrets.token_hex(16)
        self._engine = engine
        self._search_id = search_id
        self._name = name
        self._ended = threading.Event()
        self.deaths = Deaths()
        _held_here.add(self.token)
        try:
            held = write(engine, lambda connection: self._take(connection, take_over=take_over))
            if held is not None:
                raise SearchHeld(_held_text(engine, name, held, drives=True))
        except BaseException:
            _held_here.discard(self.token)
            raise
        # A database in memory has one connection and no other users.
        if not isinstance(engine.pool, StaticPool):
            threading.Thread(target=self._beat, name=f"lease of {name}", daemon=True).start()

    def note(self, deaths: Deaths) -> None:
        """Store which training is under way; without a note where the database cannot be reached.

        The record after the training tells of that, and saves what it can.
        """
        self.deaths = deaths
        try:
            with writing(self._engine) as connection:
                connection.execute(update(leases).where(leases.c.holder == self.token).values(deaths=deaths.to_text()))
        except StorageError:
            return

    def require(self, connection: Connection) -> None:
        """Raise LeaseLost unless the lease is still ours; it then stays so until the transaction ends."""
        row = _read(connection, self._search_id, lock=True)
        if row is None or row.token != self.token:
            who = "another process, which has finished" if row is None else row.text
            raise LeaseLost(
                f"search {self._name!r} was taken over by {who}; what this process was training is stored, "
                f"and it leaves the search to the other"
            )

    def release(self) -> None:
        """Give the lease back. No error where it was lost or the database cannot be reached."""
        self._ended.set()
        _held_here.discard(self.token)
        try:
            with writing(self._engine) as connection:
                connection.execute(delete(leases).where(leases.c.holder == self.token))
        except StorageError:
            # The next process sees that this one has released the lease or is gone.
            return

    def _take(self, connection: Connection, *, take_over: bool) -> Holder | None:
        """Write our row; or, where another's stands, that holder."""
        now = _now(connection)
        process = os.getpid()
        row = {
            "search_id": self._search_id,
            "holder": self.token,
            "host": socket.gethostname(),
            "pid": process,
            "process": process_identity(process),
            "acquired_at": now,
            "heartbeat_at": now,
            "deaths": None,
        }
        new = insert_for(connection.dialect.name, leases).on_conflict_do_nothing(index_elements=["search_id"])
        if connection.scalar(new.returning(leases.c.search_id), row) is not None:
            return None
        held = _read(connection, self._search_id, lock=True)
        if held is None:
            return self._take(connection, take_over=take_over)
        if not (take_over or held.is_gone):
            return held
        self.deaths = held.left
        row["deaths"] = self.deaths.to_text()
        connection.execute(update(leases).where(leases.c.search_id == self._search_id), row)
        return None

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                with writing(self._engine) as connection:
                    beat = update(leases).where(leases.c.holder == self.token)
                    if connection.execute(beat, {"heartbeat_at": _now(connection)}).rowcount == 0:
                        return
            except StorageError:
                # The next beat tries again; nobody takes the lease for a minute, and then only on purpose.
                continue


def holder_of(engine: Engine, search_id: int) -> Holder | None:
    """The process that drives a search, as far as the database knows; None where none does."""
    with reading(engine) as connection:
        return _read(connection, search_id)


def holder_in(connection: Connection, search_id: int) -> Holder | None:
    """As `holder_of`, in a transaction that writes; it then stays so until the end of it."""
    return _read(connection, search_id, lock=True)


def require_unheld(engine: Engine, name: str, holder: Holder | None, *, drives: bool = True) -> None:
    """Raise SearchHeld where a process drives the search that is not known to be gone.

    `drives`: who asks would drive it, not delete or rename it.
    """
    if holder is not None and not holder.is_gone:
        raise SearchHeld(_held_text(engine, name, holder, drives=drives))


def _held_text(engine: Engine, name: str, holder: Holder, *, drives: bool) -> str:
    """The message for a second driver, or for one who would delete or rename the search, with what it can do."""
    take_over = f"{advice(engine.url, 'resume', name, '--take-over')} (in Python: take_over=True)"
    if holder.silent_seconds > SILENT_SECONDS:
        return f"search {name!r} is held by {holder.text}; if that process is dead, go on with {take_over}"
    if not drives:
        return f"search {name!r} is being run by {holder.text}; wait for that process or stop it, then try again"
    return (
        f"search {name!r} is being run by {holder.text}; wait or stop that process, or end its lease with {take_over}"
    )


def process_identity(pid: int) -> str | None:
    """A text that no other process has, even one that is given the same number later; None where none runs."""
    if platform.system() == "Linux":
        try:
            # Fields behind the name, which may hold anything: 3 is the state, 22 the start in clock ticks since boot.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else f"{_place()} {pid}:{fields[19]}"
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return f"{_place()} {pid}:{'-'.join(listed.stdout.split())}" if listed.returncode == 0 else None


@lru_cache
def _place() -> str:
    """Within what process numbers mean the same process: one boot of one kernel, and one namespace (container)."""
    if platform.system() != "Linux":
        return socket.gethostname()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        # A place of unknown parts equals no other, so that no process is taken for dead.
        return secrets.token_hex(16)


def _read(connection: Connection, search_id: int, *, lock: bool = False) -> Holder | None:
    query = select(leases).where(leases.c.search_id == search_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return None
    silent = (_now(connection) - row.heartbeat_at).total_seconds()
    return Holder(row.holder, row.host, row.pid, row.process, row.acquired_at, silent, Deaths.of_text(row.deaths))


def _now(connection: Connection) -> datetime:
    """By the clock of the database, which all processes share."""
    if connection.dialect.name == "postgresql":
        now = connection.scalar(select(func.clock_timestamp()))
        assert isinstance(now, datetime)
        return now.astimezone(UTC)
    return datetime.now(UTC)
