"""Latency, as it is written: milliseconds, with a unit or without."""

from __future__ import annotations

import math
import re
from numbers import Real

from replaytree.config.option import Form
from replaytree.config.storage import command

_UNITS = {"": 1.0, "us": 1e-3, "ms": 1.0, "s": 1e3}
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]{1,3})?)\s*(us|ms|s|)", re.IGNORECASE)


def milliseconds(given: object) -> float | None:
    """'2ms', '2', '800us', '0.002s' and 2.0 as milliseconds; None for what is no latency over 0."""
    spent = math.nan
    if isinstance(given, str):
        found = _WRITTEN.fullmatch(given.strip())
        spent = math.nan if found is None else float(found[1]) * _UNITS[found[2].lower()]
    elif not isinstance(given, bool) and isinstance(given, Real):
        spent = float(given)
    return spent if 0.0 < spent < math.inf else None


LATENCY = Form(
    read=milliseconds, wanted="a latency over 0, as in 2ms, 800us or 0.5 (milliseconds)", types=("float", "str")
)


def no_table(flag: str) -> str:
    """What an option says that goes by a latency table, and there is none."""
    made = command("latency-table", "--out", "lat.csv")
    return (
        f"{flag} goes by how long layers take; give a --latency-table, too: `{made}` makes one, given the search's "
        f"--max-layers, and --input and --classes of its images"
    )
