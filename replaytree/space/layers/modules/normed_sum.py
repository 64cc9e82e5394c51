"""The module of a NormedSum."""

from __future__ import annotations

from torch import Tensor, nn


class NormedSumModule(nn.Module):
    """The sum of all inputs, then batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Any number of (images, channels, height, width) -> one of the same shape."""
        for other in others:
            first = first + other
        normed: Tensor = self.norm(first)
        return normed
