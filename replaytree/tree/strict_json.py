"""JSON as databases and files may hold it: no NaN, no doubled keys, no halves of characters, not nested for ever."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def strict_loads(text: str | bytes) -> Any:
    """The value that JSON text stands for; ValueError, with one line that says why, for anything doubtful."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_distinct)
        escape = b"\\u" if isinstance(text, bytes) else "\\u"
        if escape in text:  # type: ignore[operator]
            # An escape may stand for half a character, which no database stores.
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeError as error:
        raise ValueError("it is not UTF-8, or holds half a character") from error
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is beyond all numbers")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return values
