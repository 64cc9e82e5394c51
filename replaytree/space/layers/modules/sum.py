"""The module of a Sum."""

from __future__ import annotations

from torch import Tensor, nn


class SumModule(nn.Module):
    """The sum of all inputs."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Any number of (images, channels, height, width) -> one of the same shape."""
        for other in others:
            first = first + other
        return first
