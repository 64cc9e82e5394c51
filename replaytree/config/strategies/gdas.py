"""The options of GDAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.differentiable import BilevelOptions, DifferentiableOptions
from replaytree.config.option import group, option
from replaytree.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GdasOptions(DifferentiableOptions):
    """One option of each decision a step, drawn by the Gumbel-max trick (Dong and Yang, 2019)."""

    name: ClassVar[str] = "gdas"
    nesterov: ClassVar[bool] = True
    # 250 epochs of 25,000 images in batches of 256.
    published_steps: ClassVar[int] = 250 * 98

    tau_first: float = option(
        10.0,
        "gdas: temperature of the draws; falls in a straight line.",
        "Strategy",
        flag="--tau",
        metavar="FIRST:LAST",
        above=0.0,
        most=1e6,
    )
    tau_last: float = option(
        0.1,
        "gdas: temperature at the end.",
        "Strategy",
        flag="--tau",
        metavar="FIRST:LAST",
        above=0.0,
        most=1e6,
    )
    bilevel: BilevelOptions = group(BilevelOptions)

    def __post_init__(self) -> None:
        """Check the values, each and together."""
        super().__post_init__()
        if self.tau_last > self.tau_first:
            raise ConfigError(
                f"tau is {self.tau_first:g}:{self.tau_last:g}, and temperatures fall; write --tau "
                f"{self.tau_last:g}:{self.tau_first:g}"
            )

    @property
    def temperatures(self) -> tuple[float, float] | None:
        """The first and the last temperature of draws."""
        return self.tau_first, self.tau_last
