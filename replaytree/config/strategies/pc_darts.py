"""The options of PC-DARTS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.differentiable import BilevelOptions, DerivingOptions, DifferentiableOptions
from replaytree.config.option import group, option


@dataclass(frozen=True, kw_only=True)
class PcDartsOptions(DifferentiableOptions):
    """DARTS on a part of the channels, with weights of edges (Xu et al., 2020)."""

    name: ClassVar[str] = "pc-darts"
    alpha_rate_unset: ClassVar[float] = 6e-4
    # 35 epochs of 25,000 images in batches of 256.
    published_steps: ClassVar[int] = 35 * 98
    final_rate_unset: ClassVar[float] = 0.0
    frozen_unset: ClassVar[float] = 0.3
    learning_rate_unset: ClassVar[float] = 0.1

    channel_parts: int = option(
        4,
        "pc-darts: operations see the first of so many equal parts of the channels.",
        "Strategy",
        least=2,
        most=1024,
    )
    bilevel: BilevelOptions = group(BilevelOptions)
    how: DerivingOptions = group(DerivingOptions)

    @property
    def channel_share(self) -> int:
        """Operations see one of so many parts of the channels."""
        return self.channel_parts

    @property
    def deriving(self) -> DerivingOptions:
        """How a path is derived at the end."""
        return self.how
