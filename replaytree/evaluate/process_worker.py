"""The code that runs in the process of one local worker, which ends with the process that began it.

-> sys.path, Parcel             <- Began, or an exception
-> (paths, budget, seed)        <- evaluations, or an exception
                                <- LogLine, at any time
"""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import spawn
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any, NoReturn

import torch

from replaytree.border import reason
from replaytree.errors import EvaluationError, ReplayTreeError
from replaytree.evaluate.answer import answer_of
from replaytree.evaluate.pool import Began
from replaytree.records import Evaluator

# What starts a worker: where the modules of whoever began it are, it is told first.
BOOT = """
import sys
from multiprocessing.connection import Connection
line = Connection(int(sys.argv[1]))
sys.path[:] = line.recv()
from replaytree.evaluate.process_worker import main
main(line, parent=int(sys.argv[2]))
"""
# How often a worker looks for its parent, beside waiting for the line to it to break.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """What makes the evaluator: a file that is mapped, not read, and where in it the pickle and its buffers are.

    `prepare` is what multiprocessing.spawn takes to make this process like the one that began it, which is only needed
    where the pickle refers to the main module. `threads` are torch's, beside those that the evaluator itself takes.
    """

    file: int
    parts: Sequence[tuple[int, int]]
    prepare: Mapping[str, Any]
    threads: int

    def opened(self) -> Any:
        """The callable. What is written to its arrays stays in this process."""
        spawn.prepare(dict(self.prepare))
        memory = memoryview(mmap.mmap(self.file, 0, access=mmap.ACCESS_COPY))
        os.close(self.file)
        pickled, *buffers = (memory[start : start + size] for start, size in self.parts)
        return pickle.loads(pickled, buffers=buffers)


@dataclass(frozen=True, slots=True)
class LogLine:
    """What replaytree logs in a worker, for the log of the process that began it."""

    level: int
    text: str


class _Line(logging.Handler):
    """The line to the parent. Log lines and outcomes may come from different threads."""

    def __init__(self, line: Connection) -> None:
        super().__init__()
        self._line = line
        self._sending = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Send what was logged."""
        self.send(LogLine(record.levelno, record.getMessage()))

    def send(self, message: object) -> None:
        """Send anything; the process ends where nobody listens any more."""
        with self._sending:
            try:
                self._line.send(message)
            except OSError:
                _end()


is_beginning = False
"""Whether this process is a worker that has no evaluator yet. What it imports for that must start no workers."""


def main(line: Connection, *, parent: int) -> None:
    """Make the evaluator, and then train what comes."""
    global is_beginning  # noqa: PLW0603
    os.set_inheritable(line.fileno(), False)
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(line, inbox, parent), name="line", daemon=True).start()
    out = _Line(line)
    log = logging.getLogger("replaytree")
    log.addHandler(out)
    log.propagate = False
    parcel: Parcel = inbox.get()
    torch.set_num_threads(parcel.threads)
    is_beginning = True
    try:
        evaluator: Evaluator = parcel.opened()()
    except BaseException as error:
        out.send(EvaluationError(_why(error)))
        return
    is_beginning = False
    out.send(Began(f"process {os.getpid()}"))
    while True:
        paths, budget, seed = inbox.get()
        try:
            answer: object = answer_of(evaluator, paths, budget=budget, seed=seed)
        except ReplayTreeError as error:
            answer = error
        out.send(answer)


def _why(error: BaseException) -> str:
    if isinstance(error, ReplayTreeError):
        return str(error)
    return (
        f"{reason(error)}; what workers need must be found in a module, and a script that has it keeps what it runs "
        f"under `if __name__ == '__main__':`"
    )


def _listen(line: Connection, inbox: SimpleQueue[Any], parent: int) -> None:
    """Take in what comes. The process ends with its parent, whatever it is doing."""
    try:
        while True:
            # Another child of the parent may hold the other end of the line, so that it does not break.
            while not line.poll(LOOK_SECONDS):
                if os.getppid() != parent:
                    _end()
            inbox.put(line.recv())
    except (EOFError, OSError):
        _end()


def _end() -> NoReturn:
    """End this process, and those that its evaluator began."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
