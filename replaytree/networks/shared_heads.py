"""The classifier head of a prefix in a supernet: what networks/heads.py computes for many at once, for one.

Shapes: B images, C channels, H rows, W columns of a feature map, G cells of the head's grid, U units, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SharedHead(nn.Module):
    """A classifier of feature maps with `channels` channels.

    With `units` > 0: averages of the cells of a grid of (rows, columns); on each the same linear layer with batch norm
    and ReLU; their average over the cells; a linear layer. With 0 units: global average pooling and a linear layer.
    `passes_on` is the factor on the gradient that the head passes back to the feature map. With `reads_all` every value
    of the map is a channel.
    """

    def __init__(
        self,
        channels: int,
        units: int,
        num_classes: int,
        *,
        grid: tuple[int, int],
        passes_on: float,
        reads_all: bool = False,
    ) -> None:
        super().__init__()
        self._reads_all = reads_all
        self._grid = grid if units else (1, 1)
        self._passes_on = passes_on
        self.hidden = (
            nn.Sequential(nn.Linear(channels, units, bias=False), nn.BatchNorm1d(units), nn.ReLU(inplace=True))
            if units
            else None
        )
        self.last = nn.Linear(units or channels, num_classes)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Logits (B, K)."""
        if self._reads_all:
            features_BCHW = features_BCHW.flatten(1)[:, :, None, None]
        cells_BCHW = features_BCHW
        if self._grid != features_BCHW.shape[2:]:
            cells_BCHW = functional.adaptive_avg_pool2d(features_BCHW, self._grid)
        read = cells_BCHW.permute(0, 2, 3, 1).flatten(0, 2)
        if self._passes_on != 1.0 and read.requires_grad:
            read.register_hook(lambda gradient: gradient * self._passes_on)  # type: ignore[no-untyped-call]
        if self.hidden is not None:
            units_BGU = self.hidden(read).view(len(features_BCHW), -1, self.last.in_features)
            read = units_BGU.mean(dim=1)
        logits_BK: Tensor = self.last(read)
        return logits_BK
