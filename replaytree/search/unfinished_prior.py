"""How far the prior of a search is, in a file beside the database: what interrupts it loses seconds of it.

Nothing in the database refers to the file. It is there from a prior's first seconds until the prior is stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from replaytree.errors import CorruptTree
from replaytree.search.state import pack, unpack
from replaytree.tree import StateFolder

FORMAT = 1
# A supernet may be large, and a pass short.
KEEP_EVERY = 10.0

_log = logging.getLogger("replaytree")


class UnfinishedPrior:
    """The file of one prior: a state, which is plain values and tensors, and what it is `of`.

    `folder` None: there is no place, nothing is kept, and an interrupted prior begins anew.
    """

    def __init__(self, folder: StateFolder | None, *, of: str) -> None:
        self._folder = folder
        self._of = of
        self._kept = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state that was kept last; None where there is none of this prior that is sound."""
        if self._folder is None or (payload := self._folder.read_prior()) is None:
            return None
        with suppress(CorruptTree):
            state = unpack(payload, of="prior")
            if (state.get("format"), state.get("of")) == (FORMAT, self._of):
                return state
        _log.warning("what %s holds is not of this prior, which begins anew", self._folder.path)
        return None

    def keep(self, state: Callable[[], Mapping[str, Any]], *, now: bool = False) -> None:
        """Keep a state in place of the last one, if that is some seconds old, or `now`."""
        if self._folder is None or not (now or time.monotonic() - self._kept >= KEEP_EVERY):
            return
        try:
            self._folder.write_prior(pack({"format": FORMAT, "of": self._of, **state()}, of="prior", prove=False))
        except OSError as error:
            why = error.strerror or error
            _log.warning(
                "%s cannot keep how far the prior is (%s); if interrupted, it begins anew", self._folder.path, why
            )
            self._folder = None
        self._kept = time.monotonic()

    def remove(self) -> None:
        """The prior is stored: the file goes."""
        if self._folder is not None:
            self._folder.remove_prior()
