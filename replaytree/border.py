"""Convert what a user's own code returns to plain Python values, or raise an error that names it.

Evaluators and spaces are often written with NumPy or torch. Their numbers look like Python's but differ: SQLite stores
`numpy.int64(2)` as bytes, and a pickled `numpy.float64` is code, which no state may hold. So every returned value is
converted once, where it enters: records.py (measurements), evaluate/answer.py (evaluators), space/returned.py (spaces).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Set
from itertools import islice

from replaytree.errors import InputError

# SQLite's and PostgreSQL's largest whole number; their INTEGER columns hold 2^31 - 1.
LARGEST = 2**63 - 1
LARGEST_INTEGER = 2**31 - 1
_MOST_ITEMS = 100_000


def number(
    name: str, value: object, *, low: float = -math.inf, high: float = math.inf, error: type[InputError]
) -> float:
    """`value` as a float within [low, high]; `error` if it is not a finite number, or out of range."""
    want = "a finite number" if low == -math.inf else f"a finite number of at least {low:g}"
    found = _own(value)
    if isinstance(found, int | float) and not isinstance(found, bool):
        try:
            found = float(found)
        except Exception:  # too large, or of a class that may raise anything
            found = math.inf
        if math.isfinite(found) and low <= found <= high:
            return found
    raise error(f"{name} is {told(value)}; it must be {want}" + ("" if high == math.inf else f", at most {high:g}"))


def fraction(name: str, value: object, *, error: type[InputError]) -> float:
    """`value` as a float in [0, 1]."""
    try:
        return number(name, value, low=0.0, high=1.0, error=error)
    except error:
        found = _own(value)
        percent = isinstance(found, int | float) and 1.0 < found <= 100.0
        hint = " (percent? divide by 100)" if percent else ""
        raise error(f"{name} is {told(value)}; it must be a fraction in [0, 1]{hint}") from None


def whole(name: str, value: object, *, least: int, most: int = LARGEST, error: type[InputError]) -> int:
    """`value` as an int within [least, most]; a float without a fraction, such as 1e6, is one."""
    found = _own(value)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and least <= found <= most:
        return int(found)
    limit = "" if most == LARGEST else f" and at most {most}"
    raise error(f"{name} is {told(value)}; it must be a whole number of at least {least}{limit}")


def truth(name: str, value: object, *, error: type[InputError]) -> bool:
    """`value` as a bool; 0 and 1 are accepted, other numbers and texts are not."""
    found = _own(value)
    if isinstance(found, bool) or (isinstance(found, int) and found in (0, 1)):
        return bool(found)
    raise error(f"{name} is {told(value)}; it must be True or False")


def text(name: str, value: object, *, error: type[InputError]) -> str:
    """`value` as a str."""
    if not isinstance(value, str):
        raise error(f"{name} is {told(value)}; it must be a text")
    return str.__str__(value)


def items(name: str, value: object, *, want: str, error: type[InputError], most: int = _MOST_ITEMS) -> list[object]:
    """The items of something that has an order: a list, a tuple, a generator, an array of one dimension.

    At most `most` + 1 items are read, so that an endless generator is noticed.
    """
    ordered = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set)
    if not ordered or getattr(value, "ndim", 1) == 0:
        raise error(f"{name} is {told(value)}; it must be {want}")
    assert isinstance(value, Iterable)
    return list(islice(value, most + 1))


def told(value: object) -> str:
    """A value for messages: on one line, and short."""
    found = _own(value)
    try:
        line = " ".join(repr(found).split())
    except Exception:  # a user's class may raise anything
        line = f"a {type(found).__name__}"
    return line if len(line) <= 80 else f"{line[:77]}..."


def reason(error: BaseException) -> str:
    """An exception of a user's code for messages: its type and its text, on one line."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # as above
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _own(value: object) -> object:
    """The Python number of a NumPy or torch scalar, or of an array without dimensions; anything else unchanged."""
    try:
        item = getattr(value, "item", None)
        # The item of NumPy's masked constant is 0.0, though it stands for a missing value.
        if getattr(value, "ndim", None) != 0 or not callable(item) or getattr(value, "mask", False):
            return value
        found: object = item()
        # Python has no long double, so NumPy gives back its own.
        return float(found) if isinstance(found, numbers.Real) and hasattr(found, "ndim") else found
    except Exception:  # a tensor without memory, or a class that may raise anything
        return value
