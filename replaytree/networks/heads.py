"""The classifier heads of a trie, computed together, because each is small and single calls are slow.

Shapes: B images, C channels, H rows, W columns of a feature map, G cells of a head's grid, U units, K classes, T heads,
N of them alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.records import Shape


class Heads(nn.Module):
    """T classifiers of feature maps. Head t reads a map of `shapes[t]`.

    With `units[t]` > 0 it consists of: averages of the cells of a grid, `grids[t]` (rows, columns); on each cell the
    same linear layer with batch norm and ReLU; their average over the cells; a linear layer. With 0 units it is global
    average pooling and a linear layer. `passes_on[t]` is the factor on the gradient that the head passes back to the
    feature map.

    Heads of the same grid, channels and units are computed in one call.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        grids: Sequence[tuple[int, int]],
        units: Sequence[int],
        num_classes: int,
        *,
        passes_on: Sequence[float],
    ) -> None:
        super().__init__()
        self._channels = [channels for channels, _, _ in shapes]
        self._grids = [grid if own else (1, 1) for grid, own in zip(grids, units, strict=True)]
        kinds: dict[tuple[tuple[int, int], int, int], list[int]] = {}
        for place, (channels, grid, own) in enumerate(zip(self._channels, self._grids, units, strict=True)):
            kinds.setdefault((grid, channels, own), []).append(place)
        self._alike = list(kinds.values())
        self.kinds = nn.ModuleList(
            AlikeHeads(channels, own, num_classes, cells=math.prod(grid), passes_on=[passes_on[p] for p in places])
            for (grid, channels, own), places in kinds.items()
        )

    def read(self, place: int, features_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The map for later layers, and the input of a head: averages of the cells of its feature map, (B G, C).

        ValueError for other shapes.
        """
        if features_BCHW.ndim != 4 or features_BCHW.shape[1] != self._channels[place]:
            raise ValueError(
                f"a feature map of {self._channels[place]} channels was declared, and this is "
                f"{tuple(features_BCHW.shape)}"
            )
        cells_BCHW = features_BCHW
        if self._grids[place] != features_BCHW.shape[2:]:
            features_BCHW, cells_BCHW = self.pool(features_BCHW, self._grids[place])
        return features_BCHW, cells_BCHW.permute(0, 2, 3, 1).flatten(0, 2)

    @staticmethod
    def pool(features_BCHW: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A map as later layers are to read it, and the averages of its cells.

        It is the same map. A training that computes both gradients at once gives another (training/fusing.py).
        """
        return features_BCHW, functional.adaptive_avg_pool2d(features_BCHW, grid)

    def forward(self, read: Mapping[int, Tensor]) -> Tensor:
        """Logits (T, B, K) of the heads whose places are the keys, in that order, from their inputs."""
        logits: dict[int, Tensor] = {}
        for places, alike in zip(self._alike, self.kinds, strict=True):
            rows = [row for row, place in enumerate(places) if place in read]
            if rows:
                own = [places[row] for row in rows]
                logits |= zip(own, alike(torch.stack([read[place] for place in own]), rows).unbind(), strict=True)
        return torch.stack([logits[place] for place in read])


class AlikeHeads(nn.Module):
    """N heads of the same `cells`, channels and units, N the length of `passes_on`."""

    def __init__(self, channels: int, units: int, num_classes: int, *, cells: int, passes_on: Sequence[float]) -> None:
        super().__init__()
        self._cells = cells
        self._units = units
        self._count = len(passes_on)
        self.hidden: nn.Parameter | None = None
        if units:
            hidden = [nn.Linear(channels, units, bias=False) for _ in passes_on]
            self.hidden = nn.Parameter(torch.stack([linear.weight.detach().T for linear in hidden]))
            self.norm = nn.BatchNorm1d(self._count * units)
        last = [nn.Linear(units or channels, num_classes) for _ in passes_on]
        self.weight = nn.Parameter(torch.stack([linear.weight.detach().T for linear in last]))
        self.bias = nn.Parameter(torch.stack([linear.bias.detach()[None] for linear in last]))
        self._passes_on: Tensor
        self.register_buffer("_passes_on", torch.tensor(passes_on)[:, None, None], persistent=False)

    def forward(self, cells_NRC: Tensor, rows: Sequence[int]) -> Tensor:
        """Logits (N, B, K) of the heads of some rows from the cells of the B images, R = B G."""

        def own(stacked: Tensor) -> Tensor:
            # Not stacked[rows], which would copy numbers to the device, as a captured step must not.
            return stacked if len(rows) == self._count else torch.stack([stacked[row] for row in rows])

        if cells_NRC.requires_grad:
            factors = own(self._passes_on)
            cells_NRC.register_hook(lambda gradient: gradient * factors.to(gradient.dtype))  # type: ignore[no-untyped-call]
        if self.hidden is None:
            return torch.baddbmm(own(self.bias), cells_NRC, own(self.weight))
        units_RX = torch.bmm(cells_NRC, own(self.hidden)).transpose(0, 1).flatten(1)
        units_BGX = self.activated(units_RX, rows).view(-1, self._cells, units_RX.shape[1])
        # Not mean(), which divides on every cell on the way back.
        averages_BX = units_BGX.sum(dim=1) / self._cells
        averages_NBU = averages_BX.view(len(averages_BX), len(rows), -1).transpose(0, 1)
        return torch.baddbmm(own(self.bias), averages_NBU, own(self.weight))

    def activated(self, units_RX: Tensor, rows: Sequence[int]) -> Tensor:
        """Batch norm and ReLU of the units of some rows, as `forward` calls it (see training/fusing.py)."""
        return functional.relu(self._normed(units_RX, rows))

    def _normed(self, units_RX: Tensor, rows: Sequence[int]) -> Tensor:
        """Batch norm of the units of some rows, one after the other in X; of all in one call."""
        norm = self.norm
        if len(rows) == self._count:
            normed_RX: Tensor = norm(units_RX)
            return normed_RX
        assert norm.running_mean is not None
        assert norm.running_var is not None
        normed = []
        for row, units_RU in zip(rows, torch.split(units_RX, self._units, dim=1), strict=True):
            columns = slice(row * self._units, (row + 1) * self._units)
            normed.append(
                functional.batch_norm(
                    units_RU,
                    norm.running_mean[columns],
                    norm.running_var[columns],
                    norm.weight[columns],
                    norm.bias[columns],
                    training=norm.training,
                    momentum=norm.momentum or 0.0,
                    eps=norm.eps,
                )
            )
        return torch.cat(normed, dim=1)
