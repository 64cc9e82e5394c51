"""The module of a Concatenation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConcatenationModule(nn.Module):
    """The channels of all inputs; to each, (columns, rows) of zeros are `added` at right and below."""

    def __init__(self, added: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.added = tuple(added)

    def forward(self, *features: Tensor) -> Tensor:
        """Any number of (images, channels, height, width) -> (images, all channels, largest height, largest width)."""
        padded = [
            functional.pad(each, (0, columns, 0, rows)) if columns or rows else each
            for each, (columns, rows) in zip(features, self.added, strict=True)
        ]
        return torch.cat(padded, dim=1)
