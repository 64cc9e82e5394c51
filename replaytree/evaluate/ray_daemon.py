"""Noticing that Ray has died, before its native code ends this process for that without a word.

Every machine of a cluster runs a daemon, the raylet; one of them also runs the head, the global control service. Ray
calls _exit(1) in this process about 10 seconds after the daemon here has died, and 60 after the head has. It does not
where the process has disconnected from Ray by then.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from replaytree.errors import WorkersLost

LOOK_SECONDS = 5.0
# Ray itself waits for its head for 60 seconds; disconnecting from one that is dead takes about 7.
HEAD_SECONDS = 30.0
DAEMON_ENDED = "Ray's daemon on this machine (raylet) has ended, and its workers with it"


class RayDaemon:
    """The daemon through which this process is connected; a thread disconnects when it ends, or when the head does.

    The thread waits on a connection to the daemon's socket. Nothing is said there, and it ends with the daemon. Raises
    WorkersLost where there is no daemon any more.
    """

    def __init__(self, ray: Any) -> None:
        if not ray.is_initialized():
            raise WorkersLost("this process is not connected to Ray any more; resume the search to connect again")
        self._ray = ray
        self._calls = threading.Lock()
        self._why: str | None = None
        self._closed = False
        context = ray.get_runtime_context()
        host, _, port = context.gcs_address.rpartition(":")
        self._head = host.strip("[]"), int(port)
        here = context.get_node_id()
        self._line = socket.socket(socket.AF_UNIX)
        try:
            self._line.connect(next(node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == here))
        except OSError as error:
            self._line.close()
            raise WorkersLost(DAEMON_ENDED) from error
        threading.Thread(target=self._watch, name="ray daemon", daemon=True).start()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around calls of Ray, so that none is under way while the thread disconnects. Raises WorkersLost."""
        with self._calls:
            self.require()
            yield

    def require(self) -> None:
        """Raise WorkersLost where Ray is gone."""
        if self._why is not None:
            raise WorkersLost(self._why)

    def close(self) -> None:
        """Watch no longer."""
        self._closed = True
        # Closing alone would leave the thread in recv.
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def _watch(self) -> None:
        with self._line as line:
            why = self._watched(line)
        if self._closed:
            return
        self._why = why
        with self._calls:
            self._ray.shutdown()

    def _watched(self, line: socket.socket) -> str:
        """Wait until Ray is gone; why it is."""
        line.settimeout(LOOK_SECONDS)
        answered = time.monotonic()
        while True:
            try:
                line.recv(1)
                return DAEMON_ENDED
            except TimeoutError:
                if self._head_answers():
                    answered = time.monotonic()
                elif time.monotonic() - answered > HEAD_SECONDS:
                    return (
                        f"Ray's head ({':'.join(map(str, self._head))}) has not answered for {HEAD_SECONDS:g} seconds"
                    )
            except OSError:
                return DAEMON_ENDED

    def _head_answers(self) -> bool:
        try:
            socket.create_connection(self._head, timeout=LOOK_SECONDS).close()
        except OSError:
            return False
        return True
