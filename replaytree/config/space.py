"""Which networks a search may choose from."""

from __future__ import annotations

from dataclasses import dataclass

from replaytree.config.option import Options, option
from replaytree.errors import ConfigError

# replaytree/space/catalogue.py makes them.
SPACES = ("xu24",)


@dataclass(frozen=True, kw_only=True)
class SpaceOptions(Options):
    """The space, the size of its layers, the depth bound, and what a network may cost.

    `space` None: it is given in Python. `width` None: decided when the search starts, from the device.
    """

    space: str | None = option(
        "xu24", f"The layers to choose from: {', '.join(SPACES)}.", "What to search", choices=SPACES
    )
    width: float | None = option(
        None,
        "Factor on all channel numbers.",
        "What to search",
        above=0.0,
        most=64.0,
        unset="0.25 on a CPU, else 1",
    )
    min_layers: int = option(2, "Depth bound at the start, in layers.", "What to search", least=1, most=10_000)
    max_layers: int = option(
        6, "Depth bound at the end, in layers.", "What to search", first=True, least=1, most=10_000
    )
    max_params: int | None = option(
        None, "Only networks of at most this many parameters, as in 100k.", "What to search", first=True, least=1
    )
    max_flops: int | None = option(
        None,
        "Only networks of at most this many FLOPs (multiply-adds an image), as in 5M.",
        "What to search",
        first=True,
        least=1,
    )

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.min_layers > self.max_layers:
            raise ConfigError(
                f"min_layers is {self.min_layers}, more than max_layers, {self.max_layers}; "
                f"lower --min-layers or raise --max-layers"
            )
