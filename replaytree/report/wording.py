"""Numbers in the words that people read: counted nouns, ordinals, points, short numbers."""

from __future__ import annotations

from collections.abc import Sequence


def layers(count: int) -> str:
    """1 -> '1 layer'."""
    return counted(count, "layer")


def counted(count: int, noun: str, plural: str = "") -> str:
    """(1200, 'layer') -> '1,200 layers'."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def ordinal(number: int) -> str:
    """1 -> '1st', 12 -> '12th'."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def short(number: int | None) -> str:
    """1234567 -> '1.23M'; None -> 'unknown'."""
    if number is None:
        return "unknown"
    value = float(number)
    for unit in ("", "k", "M", "G"):
        if abs(value) < 999.5:
            return f"{value:.0f}" if not unit else f"{value:.3g}{unit}"
        value /= 1000.0
    return f"{value:.3g}T"


def joined(names: Sequence[str]) -> str:
    """('a', 'b', 'c') -> 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
