"""Layers whose input is added to their output."""

from __future__ import annotations

from torch import Tensor, nn


class Skip(nn.Sequential):
    """x + layers(x)."""

    def forward(self, features: Tensor) -> Tensor:
        """(images, channels, height, width) -> the same shape."""
        after = features
        for layer in self:
            after = layer(after)
        return features + after
