"""The option of strategies that draw paths from the tree."""

from __future__ import annotations

from typing import Any

from replaytree.config.option import option

TEMPERATURE = 0.01


def temperature() -> Any:
    """A dataclass field: the temperature of the softmax that draws."""
    return option(
        TEMPERATURE,
        "replay: temperature of the softmax over average accuracy that draws from the tree.",
        "Strategy",
        least=1e-6,
        most=1e6,
    )
