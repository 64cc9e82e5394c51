"""The module of a ResidualBlock."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replaytree.space.layers.modules.convolution import convolution


class ResidualModule(nn.Module):
    """relu(branch(x) + shortcut(x))."""

    def __init__(self, input_channels: int, channels: int, *, stride: int, projects: bool) -> None:
        super().__init__()
        # The branch's last batch norm starts at 1, not 0: at 0 a short training would rate an identity, not the block.
        self.branch = nn.Sequential(
            convolution(input_channels, channels, 3, stride, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            convolution(channels, channels, 3, 1, 1),
            nn.BatchNorm2d(channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if projects:
            self.shortcut = nn.Sequential(convolution(input_channels, channels, 1, stride), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(images, input_channels, height, width) -> (images, channels, height / stride, width / stride)."""
        return torch.relu_(self.branch(features) + self.shortcut(features))
