"""Workers that are processes of this machine.

A worker is a fresh Python, so that it inherits neither threads nor locks. It maps a file with the images, which lie in
memory once for all workers. The file has no name, so that nothing is left of it whatever ends this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from replaytree.config import Budget
from replaytree.errors import ConfigError, EvaluationError
from replaytree.evaluate import process_worker
from replaytree.evaluate.parcel import require_packed
from replaytree.evaluate.pool import Died, Outcome, logger
from replaytree.evaluate.process_worker import BOOT, LogLine, Parcel
from replaytree.records import Evaluator, Path

# Buffers begin at multiples of it, as torch's own memory does.
ALIGNMENT = 64
# A process that was killed is gone after this long, or it never will be.
REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    process: subprocess.Popen[bytes]
    line: Connection
    number: int


class ProcessCrew:
    """Processes of this machine, each with one evaluator that `make` gives it. It is a `Crew`.

    `parts` are what `make` is made of, by the names that an error gives them. ConfigError where it cannot be sent.
    """

    def __init__(self, count: int, make: Callable[[], Evaluator], *, parts: Mapping[str, object]) -> None:
        if process_worker.is_beginning:
            raise ConfigError(
                "workers import the script that began them, and it begins workers of its own; keep what it runs under "
                "`if __name__ == '__main__':`"
            )
        pickled, buffers = require_packed(make, parts=parts)
        self._prepare = _main_module() if b"__main__" in pickled else {}
        self._file, self._places = _written(pickled, buffers)
        weakref.finalize(self, self._file.close)
        self._threads = max(1, torch.get_num_threads() // count)
        self._members: list[_Member] = []

    def begin(self, number: int) -> _Member:
        """A process, which imports torch first."""
        here, there = Pipe()
        threads = str(self._threads)
        command = [sys.executable, "-c", BOOT, str(there.fileno()), str(os.getpid())]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=(there.fileno(), self._file.fileno()),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": threads},
                # Ctrl-C is for this process alone, which then ends its workers.
                process_group=0,
            )
        except OSError as error:
            raise EvaluationError(f"a worker cannot be started ({error.strerror}); lower --workers") from error
        finally:
            there.close()
        member = _Member(process, here, number)
        self._members.append(member)
        _send(member, [path or os.getcwd() for path in sys.path])
        _send(member, Parcel(self._file.fileno(), self._places, self._prepare, self._threads))
        return member

    def ask(self, worker: _Member, paths: Sequence[Path], *, budget: Budget, seed: int) -> None:
        """Send the paths."""
        _send(worker, (paths, budget, seed))

    def wait(self, seconds: float) -> tuple[_Member, Outcome] | None:
        """What the first worker that has something to say says."""
        ready = wait([member.line for member in self._members], seconds)
        for member in self._members:
            if member.line in ready:
                try:
                    message = member.line.recv()
                except (EOFError, OSError):
                    return member, Died(_why(member))
                if not isinstance(message, LogLine):
                    return member, message
                logger.log(message.level, "worker %d: %s", member.number, message.text)
            elif not ready and member.process.poll() is not None and not member.line.poll():
                # A process that the evaluator began holds the line open.
                return member, Died(_why(member))
        return None

    def end(self, worker: _Member) -> None:
        """Kill a process, and those that its evaluator began."""
        self._members.remove(worker)
        if worker.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
        worker.line.close()

    def close(self) -> None:
        """Kill all."""
        for member in list(self._members):
            self.end(member)

    def missing(self) -> str:
        """Nothing that is known."""
        return ""


def _send(member: _Member, message: object) -> None:
    """Send to a worker; whether it has died meanwhile is noticed in `wait`."""
    with suppress(OSError):
        member.line.send(message)


def _why(member: _Member) -> str:
    with suppress(subprocess.TimeoutExpired):
        code = member.process.wait(REAP_SECONDS)
        return f"exit code {code}" if code >= 0 else f"{signal.Signals(-code).name}"
    return "the line to it broke"


def _main_module() -> dict[str, Any]:
    """What a worker needs to import the main module of this process, as multiprocessing.spawn takes it."""
    main = sys.modules["__main__"]
    found: dict[str, Any] = {"sys_argv": sys.argv, "dir": os.getcwd()}
    if (spec := getattr(main, "__spec__", None)) is not None:
        return found | {"init_main_from_name": spec.name}
    if (file := getattr(main, "__file__", None)) is not None:
        return found | {"init_main_from_path": os.path.abspath(file)}
    raise ConfigError(
        "the evaluator or its space is made of classes or functions that were typed into this session, and workers "
        "cannot import them; write them into a module (a file NAME.py), or leave out --workers"
    )


def _written(pickled: bytes, buffers: Sequence[memoryview]) -> tuple[Any, list[tuple[int, int]]]:
    """A file without a name with all of it, and where each part begins, and its size."""
    places = []
    # It lives as long as the crew, which may begin workers after its `close`, too.
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        for part in (memoryview(pickled), *buffers):
            file.write(bytes(-file.tell() % ALIGNMENT))
            places.append((file.tell(), part.nbytes))
            file.write(part)
        file.flush()
    except OSError as error:
        raise ConfigError(
            f"the images cannot be written to {tempfile.gettempdir()}, from where workers map them ({error.strerror}); "
            f"free some space there, or name another folder with TMPDIR"
        ) from error
    return file, places
