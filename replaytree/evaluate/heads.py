"""The classifier heads of a trie, computed together: there are as many as nodes, each is small, and calls are dear.

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
    """T classifiers of feature maps. Head t is, for a map of `shapes[t]` and with `units[t]` > 0:

    averages of the cells of a grid, `grids[t]` (rows, columns); on each cell the same linear layer with batch norm and
    ReLU; their average over the cells; a linear layer. With 0 units: global average pooling and a linear layer. What a
    head learns is its own; `passes_on[t]` is what reaches the layer that it reads of its gradient, as a factor.

    Heads alike, of the same grid, channels and units, take the calls of one.
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
        self._grids = [grid if own else (1, 1) for grid, own in zip(grids, units, strict=True)]
        kinds: dict[tuple[tuple[int, int], int, int], list[int]] = {}
        for place, (shape, grid, own) in enumerate(zip(shapes, self._grids, units, strict=True)):
            kinds.setdefault((grid, shape[0], own), []).append(place)
        self._alike = list(kinds.values())
        self.kinds = nn.ModuleList(
            AlikeHeads(channels, own, num_classes, cells=math.prod(grid), passes_on=[passes_on[p] for p in places])
            for (grid, channels, own), places in kinds.items()
        )

    def read(self, place: int, features_BCHW: Tensor) -> Tensor:
        """What a head takes from its feature map: the averages of every cell, (B G, C)."""
        if self._grids[place] != features_BCHW.shape[2:]:
            features_BCHW = functional.adaptive_avg_pool2d(features_BCHW, self._grids[place])
        return features_BCHW.permute(0, 2, 3, 1).flatten(0, 2)

    def forward(self, read: Mapping[int, Tensor]) -> Tensor:
        """Logits (T, B, K) of the heads whose places are the keys, in their order, from what they read."""
        logits: dict[int, Tensor] = {}
        for places, alike in zip(self._alike, self.kinds, strict=True):
            there = [read[place] for place in places if place in read]
            if there:
                # Heads that are not asked for any more read nothing: they are few, and others would have to be moved.
                nothing = there[0] if len(there) == len(places) else torch.zeros_like(there[0])
                own_NBK = alike(torch.stack([read.get(place, nothing) for place in places]))
                logits |= zip(places, own_NBK.unbind(), strict=True)
        return torch.stack([logits[place] for place in read])


class AlikeHeads(nn.Module):
    """N heads of the same `cells`, channels and units, N the length of `passes_on`."""

    def __init__(self, channels: int, units: int, num_classes: int, *, cells: int, passes_on: Sequence[float]) -> None:
        super().__init__()
        self._cells = cells
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

    def forward(self, cells_NRC: Tensor) -> Tensor:
        """Logits (N, B, K) from the cells of the B images, R = B G."""
        if cells_NRC.requires_grad:
            cells_NRC.register_hook(self._passed_on)  # type: ignore[no-untyped-call]
        if self.hidden is None:
            return torch.baddbmm(self.bias, cells_NRC, self.weight)
        units_RNU = torch.bmm(cells_NRC, self.hidden).transpose(0, 1)
        units_BGX = functional.relu(self.norm(units_RNU.flatten(1)).unflatten(0, (-1, self._cells)))
        # Not mean(), which divides on every cell on the way back.
        averages_BX = units_BGX.sum(dim=1) / self._cells
        averages_NBU = averages_BX.view(len(averages_BX), self._count, -1).transpose(0, 1)
        return torch.baddbmm(self.bias, averages_NBU, self.weight)

    def _passed_on(self, gradient_NRC: Tensor) -> Tensor:
        return gradient_NRC * self._passes_on.to(gradient_NRC.dtype)
