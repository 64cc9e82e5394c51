"""Latency, as it is written: milliseconds, with a unit or without."""

from __future__ import annotations

import re

from replaytree.errors import ConfigError

_UNITS = {"": 1.0, "us": 1e-3, "ms": 1.0, "s": 1e3}
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:e-?[0-9]{1,2})?)\s*(us|ms|s|)", re.IGNORECASE)


def milliseconds(text: str) -> float:
    """'2ms', '2', '800us' and '0.002s' as milliseconds; ConfigError for anything else."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ConfigError("write a latency, as in 2ms, 800us or 0.5 (milliseconds)")
    return float(found[1]) * _UNITS[found[2].lower()]
