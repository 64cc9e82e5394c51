"""The module of a FactorizedReduction."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.space.layers.modules.convolution import convolution


class FactorizedReductionModule(nn.Module):
    """Half the channels from the even rows and columns, half from the odd ones, then batch norm.

    (columns, rows) of zeros are `added` to the second half's pixels, at right and below. With `relu`, ReLU
    stands first.
    """

    def __init__(
        self, inputs: int, channels: int, added: tuple[int, int], *, relu: bool = False, affine: bool = True
    ) -> None:
        super().__init__()
        columns, rows = added
        self.added = (0, columns, 0, rows)
        self.relu = relu
        self.even = convolution(inputs, channels // 2, 1)
        self.odd = convolution(inputs, channels - channels // 2, 1)
        self.norm = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, features: Tensor) -> Tensor:
        """(images, inputs, height, width) -> (images, channels, ceil(height / 2), ceil(width / 2))."""
        if self.relu:
            features = functional.relu(features)
        padded = functional.pad(features, self.added) if any(self.added) else features
        halves = [self.even(features[:, :, ::2, ::2]), self.odd(padded[:, :, 1::2, 1::2])]
        reduced: Tensor = self.norm(torch.cat(halves, dim=1))
        return reduced
