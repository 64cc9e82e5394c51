"""The option that the strategies with an estimate of their uncertainty share."""

from __future__ import annotations

from typing import Any

from replaytree.config.option import option


def exploration() -> Any:
    """A dataclass field: the weight of the uncertainty."""
    return option(1.0, "puct, guided: weight of the uncertainty.", "Strategy", least=0.0, most=1e6)
