"""Several trainings of this process at once: which of their threads runs, and which may begin.

What Python does for a training on a GPU is to launch kernels, which takes a fraction of the time that the GPU takes for
them. So every training has a thread and a stream of its own, and the thread that holds the baton runs. It hands the
baton on when it has launched an epoch, and takes it again when the GPU is done with that epoch. Meanwhile others launch
theirs, and the GPU works on all of them side by side.

What torch keeps for the process, and not for a thread or a stream (random generators, the number of threads, how
float32 products are rounded), belongs to whoever holds the baton: it is put away and restored as the baton goes round.
So a training computes what it would compute alone.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from time import perf_counter
from typing import TypeVar

import torch

from replaytree.training.device import on
from replaytree.training.precision import kept_rounding

T = TypeVar("T")

GIB = 2**30

_log = logging.getLogger(__name__)
_here = threading.local()
# By the index of the GPU. Torch has 32 streams a GPU, and a library may keep a workspace for each that is used.
_streams: dict[int, list[torch.cuda.Stream]] = {}


class Stopped(BaseException):
    """The run of a training has ended. Not an Exception, which would be the training's own failure."""


class Standing:
    """What torch keeps for the whole process, as it is now for the thread that holds the baton."""

    def __init__(self, device: torch.device, *, copied: bool = False) -> None:
        """Put it away; `copied`: for another thread, whose draws leave ours as they are."""
        self._threads = torch.get_num_threads()
        self._state = torch.get_rng_state()
        self._generator: torch.Generator | None = None
        self._rounding: Callable[[], None] = lambda: None
        if device.type == "cuda":
            # The generator's own state and no copy of it: graphs read theirs from its memory, when they are replayed.
            own = torch.cuda.default_generators[device.index]
            self._generator = own.clone_state() if copied else own.graphsafe_get_state()
            self._rounding = kept_rounding()

    def restore(self, device: torch.device) -> None:
        """Let it be so again."""
        torch.set_num_threads(self._threads)
        torch.set_rng_state(self._state)
        if self._generator is not None:
            torch.cuda.default_generators[device.index].graphsafe_set_state(self._generator)
        self._rounding()


class Relay:
    """The baton of some trainings on a device, and which of them may begin. Who makes it holds it first.

    Everything but `take` is for the thread that holds the baton.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stopped = False
        self.runners: list[Runner] = []
        self._lock = threading.Lock()
        self._holder: int | None = threading.get_ident()
        self._held = True
        self._queue: deque[threading.Lock] = deque()
        self._parked: list[tuple[Callable[[], bool], threading.Lock]] = []
        self._is_told = False
        self._shared = 0.0
        self._since = perf_counter()
        if device.type == "cuda":
            # Before that it has no generators.
            torch.cuda.init()  # type: ignore[no-untyped-call]

    @property
    def holder(self) -> int | None:
        """The thread that holds the baton; None while it goes from one to another."""
        return self._holder

    def clock(self) -> float:
        """Seconds, of which each training under way has had its share: it runs slower, the more there are."""
        now = perf_counter()
        self._shared += (now - self._since) / max(1, len(self.runners))
        self._since = now
        return self._shared

    def take(self, *, first: bool = False) -> None:
        """Wait for the baton, behind those that wait already, or as the `first` of them."""
        with self._lock:
            mine = threading.Lock()
            mine.acquire()
            if not self._held:
                self._held = True
                mine.release()
            elif first:
                self._queue.appendleft(mine)
            else:
                self._queue.append(mine)
        try:
            mine.acquire()
        except BaseException:  # Ctrl-C
            with self._lock:
                waits = mine in self._queue
                if waits:
                    self._queue.remove(mine)
            if not waits:
                self.give()
            raise
        self._holder = threading.get_ident()

    def give(self) -> None:
        """Give the baton to who has waited longest."""
        self._holder = None
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._held = False

    @contextmanager
    def given(self, *, first: bool = False) -> Iterator[None]:
        """Let others run meanwhile; what torch keeps for the process is as it was at the end."""
        standing = Standing(self.device)
        self.give()
        try:
            yield
        finally:
            self.take(first=first)
            standing.restore(self.device)

    def until(self, granted: Callable[[], bool]) -> None:
        """Let others run until `granted` says that this one may go on; it takes what it grants. Raises Stopped."""
        if not granted():
            woken = threading.Lock()
            woken.acquire()
            self._parked.append((granted, woken))
            with self.given():
                woken.acquire()
        self.require_run()

    def changed(self) -> None:
        """Let those go on that wait for what is possible now, in the order in which they came."""
        for each in list(self._parked):
            granted, woken = each
            if self.stopped or granted():
                self._parked.remove(each)
                woken.release()

    def require_run(self) -> None:
        """Raise Stopped where the run has ended."""
        if self.stopped:
            raise Stopped

    def tell_of_memory(self, needed: int, limit: float) -> None:
        """Say once that memory does not suffice for as many trainings as could be under way."""
        if not self._is_told:
            self._is_told = True
            _log.warning(
                "%d trainings at once do not fit into the %.1f GiB that trainings may use: one that needs %.2f GiB by "
                "estimate waits for others to end, so that fewer train at once (--concurrent)",
                len(self.runners), limit / GIB, needed / GIB,
            )  # fmt: skip


class Runner:
    """A thread that trains, one training after the other, with a stream of its own on a GPU."""

    def __init__(self, relay: Relay, number: int) -> None:
        self.relay = relay
        self.used_bytes = 0
        self.is_alone = self.wants_alone = False
        self._stream = None if relay.device.type != "cuda" else _stream(relay.device, number)

    def run(self, job: Callable[[], T], standing: Standing) -> T | BaseException:
        """What `job` returns or raises; `standing` is what it begins with. For a thread without the baton."""
        relay = self.relay
        relay.take()
        _here.runner = self
        try:
            standing.restore(relay.device)
            with self._placed():
                relay.until(self._may_begin)
                return job()
        except BaseException as error:
            return error
        finally:
            _here.runner = None
            self.used_bytes, self.is_alone = 0, False
            if self in relay.runners:
                relay.clock()
                relay.runners.remove(self)
            relay.changed()
            relay.give()

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Be on the stream, behind what the process has launched before; at the end it is done."""
        device = self.relay.device
        with ExitStack() as stack:
            if self._stream is not None:
                stack.enter_context(on(device))
                self._stream.wait_stream(torch.cuda.current_stream(device))
                stack.enter_context(torch.cuda.stream(self._stream))
                stack.callback(self._settle)
            yield

    def _settle(self) -> None:
        """Wait for what was launched: what a training leaves goes to another, whose stream does not wait for this."""
        if self._stream is not None:
            self._stream.synchronize()

    def hand_on(self) -> None:
        """Let others run while the device is busy with what this one has launched."""
        relay = self.relay
        relay.require_run()
        done = None
        if self._stream is not None:
            # One that sleeps: to wait for an event is to spin, else.
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record(self._stream)
        with relay.given():
            if done is not None:
                done.synchronize()
        relay.require_run()

    @contextmanager
    def using(self, needed: int, *, limit: float) -> Iterator[None]:
        """Use so many bytes of what trainings may use, as soon as the others leave them."""
        relay = self.relay

        def granted() -> bool:
            used = sum(other.used_bytes for other in relay.runners if other is not self)
            if used and used + needed > limit:
                return False
            self.used_bytes = needed
            return True

        if not granted():
            relay.tell_of_memory(needed, limit)
            relay.until(granted)
        try:
            yield
        finally:
            self._settle()
            self.used_bytes = 0
            relay.changed()

    def alone(self) -> bool:
        """Wait until no other is under way, and be alone from then on; False where it was so already."""
        if self.is_alone:
            return False
        self.wants_alone = True
        self.relay.changed()
        try:
            self.relay.until(self._may_be_alone)
        finally:
            self.wants_alone = False
        return True

    def _may_begin(self) -> bool:
        if any(other.is_alone or other.wants_alone for other in self.relay.runners):
            return False
        self.relay.clock()
        self.relay.runners.append(self)
        return True

    def _may_be_alone(self) -> bool:
        others = [other for other in self.relay.runners if other is not self]
        if any(other.is_alone or not other.wants_alone for other in others):
            return False
        self.is_alone = True
        return True


def hand_on() -> None:
    """Let another training of this process run while the device is busy; nothing where there is none."""
    if (runner := _runner()) is not None:
        runner.hand_on()


def require_run() -> None:
    """Raise Stopped where the run of this thread's training has ended."""
    if (runner := _runner()) is not None:
        runner.relay.require_run()


def alone() -> bool:
    """Wait until no other training of this process is under way. False where none could be, also before."""
    runner = _runner()
    return runner is not None and runner.alone()


def clock() -> float:
    """Seconds since some moment, as they count for this thread's training: those at once share them."""
    runner = _runner()
    return perf_counter() if runner is None else runner.relay.clock()


def using_memory(needed: int, *, limit: float) -> AbstractContextManager[object]:
    """Wait until the trainings of this process leave so many bytes of `limit`, and use them meanwhile."""
    runner = _runner()
    return nullcontext() if runner is None else runner.using(needed, limit=limit)


def _runner() -> Runner | None:
    runner: Runner | None = getattr(_here, "runner", None)
    return runner


def _stream(device: torch.device, number: int) -> torch.cuda.Stream:
    """The stream of a number, the same in every run."""
    made = _streams.setdefault(device.index, [])
    while len(made) <= number:
        made.append(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    return made[number]
