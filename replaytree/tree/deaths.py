"""The trainings during which the process died, and the one under way: a short text in the row of the lease.

It is written before a training and after it, in a transaction of its own each time, so that it outlives a process that
is killed (SIGKILL, a segmentation fault, the kernel's out-of-memory killer). A lease that is given back takes it along:
an exception, Ctrl-C and SIGTERM are no deaths.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Deaths:
    """How many processes died in a row during each training, by its key, and the key of the training under way."""

    counts: Mapping[str, int] = field(default_factory=dict)
    under_way: str | None = None

    def began(self, key: str) -> Deaths:
        """A training has begun."""
        return replace(self, under_way=key)

    def ended(self) -> Deaths:
        """It has ended with the process alive, so that earlier deaths in it were of another cause."""
        return Deaths({key: count for key, count in self.counts.items() if key != self.under_way})

    def inherited(self) -> Deaths:
        """What the next process takes over from one that died."""
        if self.under_way is None:
            return self
        return Deaths({**self.counts, self.under_way: self.counts.get(self.under_way, 0) + 1})

    def to_text(self) -> str | None:
        """As it is stored; None where there is nothing to say."""
        if not self.counts and self.under_way is None:
            return None
        return json.dumps({"counts": dict(self.counts), "under_way": self.under_way}, sort_keys=True)

    @classmethod
    def of_text(cls, text: str | None) -> Deaths:
        """The inverse; nothing where the text is not of this kind, which costs no more than a death not counted."""
        try:
            values = json.loads(text or "{}")
            counts = {str(key): int(count) for key, count in values.get("counts", {}).items()}
            under_way = values.get("under_way")
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        return cls(counts, under_way if isinstance(under_way, str) else None)
