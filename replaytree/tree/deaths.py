"""The trainings during which the process died, and those under way: a short text in the row of the lease.

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
    """How many processes died in a row during each training, by its key, and the keys of the trainings under way."""

    counts: Mapping[str, int] = field(default_factory=dict)
    under_way: tuple[str, ...] = ()

    def began(self, key: str) -> Deaths:
        """A training has begun."""
        return replace(self, under_way=(*self.under_way, key))

    def ended(self, key: str) -> Deaths:
        """It has ended with the process alive, so that earlier deaths in it were of another cause."""
        place = self.under_way.index(key)
        return Deaths(
            {other: count for other, count in self.counts.items() if other != key},
            (*self.under_way[:place], *self.under_way[place + 1 :]),
        )

    def let_go(self) -> Deaths:
        """What the next process takes over from one that ended its trainings."""
        return Deaths({key: count for key, count in self.counts.items() if key not in self.under_way})

    def inherited(self) -> Deaths:
        """What the next process takes over from one that died: any of the trainings under way may have killed it."""
        return Deaths({**self.counts, **{key: self.counts.get(key, 0) + 1 for key in self.under_way}})

    def to_text(self) -> str | None:
        """As it is stored; None where there is nothing to say."""
        if not self.counts and not self.under_way:
            return None
        return json.dumps({"counts": dict(self.counts), "under_way": list(self.under_way)}, sort_keys=True)

    @classmethod
    def of_text(cls, text: str | None) -> Deaths:
        """The inverse; nothing where the text is not of this kind, which costs no more than a death not counted."""
        try:
            values = json.loads(text or "{}")
            counts = {str(key): int(count) for key, count in values.get("counts", {}).items()}
            under_way = values.get("under_way") or []
        except (ValueError, TypeError, AttributeError, RecursionError):
            return cls()
        # It was one training once.
        keys = under_way if isinstance(under_way, list) else [under_way]
        return cls(counts, tuple(key for key in keys if isinstance(key, str)))
