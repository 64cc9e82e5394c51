"""The code that runs in the process of one Ray worker.

The class is sent by value and imports replaytree only when it is called. So a machine with another version of
replaytree can report that; an import by name would fail at the first difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Worker:
    """An evaluator of its own, made on its own device; or the keeper of what evaluators are made from."""

    def keep(self, parts: Sequence[Any]) -> Any:
        """Put a pickle and its buffers into the object store, owned by this process; a reference to them."""
        import ray

        return ray.put(parts)

    def start(self, replaytree: str, make: Sequence[Any], threads: int) -> dict[str, str]:
        """Make the evaluator if the versions agree; which versions are here, and which process this is.

        `make` is one reference in a list, which keeps Ray from reading it before this is called.
        """
        import os
        import pickle
        import socket
        from importlib.metadata import PackageNotFoundError, version

        import ray

        found = {"place": f"process {os.getpid()} on {socket.gethostname()}"}
        for package in ("replaytree", "torch"):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "none"
        if found["replaytree"] == replaytree:
            # torch reads it when it is imported, which a fresh process has not done.
            os.environ["OMP_NUM_THREADS"] = str(threads)
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            pickled, *buffers = ray.get(make[0])
            self._evaluator = pickle.loads(pickled, buffers=buffers)()
        return found

    def evaluate(self, paths: Sequence[Any], budget: Any, seed: int) -> list[Any]:
        """The evaluator's answer, checked."""
        from replaytree.evaluate.answer import answer_of

        return answer_of(self._evaluator, paths, budget=budget, seed=seed)
