"""Ctrl-C and SIGTERM in a search: the first asks it to end, the second ends the process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from replaytree.cli.text import say

if TYPE_CHECKING:
    from replaytree.search.search import Search

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A second signal may unwind for this long; then the process ends, even if native code hangs.
GRACE_SECONDS = 5.0


@contextmanager
def stopping_gently(stop: Callable[[], None], *, when: str) -> Iterator[None]:
    """Call `stop` at the first signal; at the second raise KeyboardInterrupt or SystemExit (130 and 143).

    If the main thread has not raised it within GRACE_SECONDS, the process ends anyway.
    """

    def first(number: int, _: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _leave)
        say(
            f"\nStopping {when}; {'Ctrl-C' if number == signal.SIGINT else 'the signal'} again quits at once.",
            error=True,
        )
        stop()

    previous = {number: signal.signal(number, first) for number in SIGNALS}
    with _watched():
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def when_it_stops(search: Search) -> str:
    """When a run stops after a request. Workers are not awaited: the slowest may need long."""
    from replaytree.evaluate import Concurrent, InProcess

    if isinstance(search.workers, InProcess):
        return "after this training"
    if isinstance(search.workers, Concurrent):
        return f"after the trainings under way, at most {search.workers.at_once}"
    return "now; what is under way is trained again when the search goes on"


def _leave(number: int, _: FrameType | None) -> None:
    _say_stopped()
    raise SystemExit(128 + number)


def _say_stopped() -> None:
    say("Stopped at once; what was committed stays.", error=True)


@contextmanager
def _watched() -> Iterator[None]:
    """Let a thread also see the signals: Python's handlers wait until the main thread leaves native code."""
    reads, writes = socket.socketpair()
    writes.setblocking(False)
    before = signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
    done = threading.Event()

    def watch() -> None:
        seen = 0
        while number := reads.recv(1)[:1]:
            seen += number[0] in SIGNALS
            if seen == 2 and not done.wait(GRACE_SECONDS):
                _say_stopped()
                os._exit(128 + number[0])

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        writes.close()
        thread.join()
        reads.close()
