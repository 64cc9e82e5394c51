"""The options of DARTS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replaytree.config.differentiable import BilevelOptions, DerivingOptions, DifferentiableOptions
from replaytree.config.option import group, option


@dataclass(frozen=True, kw_only=True)
class DartsOptions(DifferentiableOptions):
    """Differentiable architecture search (Liu et al., 2019), of first or second order."""

    name: ClassVar[str] = "darts"

    alpha_order: int = option(
        1,
        "darts: order of the numbers' gradient; 2 looks one step of the weights ahead, at about three times the cost.",
        "Strategy",
        least=1,
        most=2,
    )
    bilevel: BilevelOptions = group(BilevelOptions)
    how: DerivingOptions = group(DerivingOptions)

    @property
    def order(self) -> int:
        """Of the gradient of the numbers."""
        return self.alpha_order

    @property
    def deriving(self) -> DerivingOptions:
        """How a path is derived at the end."""
        return self.how
