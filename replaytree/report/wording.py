"""Numbers in the words that people read: counted nouns, ordinals, points, short numbers."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

# Signs of a label that fit a line of a figure.
LINE = 18


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


def broken(label: str, most: int = LINE) -> str:
    """A label as HTML for a figure: long ones of several decisions go over lines, 'max3@0+<br>identity@1'."""
    lines = [""]
    for part in re.findall(r"[^-+]*[-+]|[^-+]+", label):
        if lines[-1] and len(lines[-1]) + len(part) > most:
            lines.append("")
        lines[-1] += part
    return "<br>".join(map(escape, lines))


def embedded(pictures: bytes) -> str:
    """A PNG as the address of an image in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(pictures).decode('ascii')}"
