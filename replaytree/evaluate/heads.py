"""The classifier heads of a trie, computed together: there are as many as nodes, each is small, and calls are dear.

Shapes: B images, C channels, H rows, W columns of a feature map, G cells of a head's grid, U units, K classes, T heads.
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

    One batch norm serves all heads of a grid and one product all of a width, so that T heads take a few calls and two
    more a head: half the time of calling them one by one, on a CPU and chains of 15 layers (16x16 images, 8 to 32
    channels).
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
        self._passes_on = passes_on
        self._grids = grids
        self._units = units
        self._by_grid: dict[tuple[int, int], list[int]] = {}
        self._by_width: dict[int, list[int]] = {}
        self.hidden = nn.ParameterDict()
        for place, (shape, grid, own) in enumerate(zip(shapes, grids, units, strict=True)):
            self._by_width.setdefault(own or shape[0], []).append(place)
            if own:
                self._by_grid.setdefault(grid, []).append(place)
                self.hidden[str(place)] = nn.Linear(shape[0], own, bias=False).weight
        self.norms = nn.ModuleList(nn.BatchNorm1d(sum(units[place] for place in own)) for own in self._by_grid.values())
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for width, own_places in self._by_width.items():
            last = [nn.Linear(width, num_classes) for _ in own_places]
            self.weights.append(torch.stack([linear.weight.detach().T for linear in last]))
            self.biases.append(torch.stack([linear.bias.detach()[None] for linear in last]))

    def read(self, place: int, features_BCHW: Tensor) -> Tensor:
        """What a head takes from its feature map: its units on every cell, (B G, U); without units averages, (B, C)."""
        units = self._units[place]
        grid = self._grids[place] if units else (1, 1)
        if grid != features_BCHW.shape[2:]:
            features_BCHW = functional.adaptive_avg_pool2d(features_BCHW, grid)
        rows = features_BCHW.permute(0, 2, 3, 1).flatten(0, 2)
        factor = self._passes_on[place]
        if factor != 1.0 and rows.requires_grad:
            rows.register_hook(lambda gradient: gradient * factor)  # type: ignore[no-untyped-call]
        return functional.linear(rows, self.hidden[str(place)]) if units else rows

    def forward(self, read: Mapping[int, Tensor]) -> Tensor:
        """Logits (T, B, K) of the heads whose places are the keys, in their order, from what they read."""
        averages = self._averages(read)
        logits: dict[int, Tensor] = {}
        for places, weight, bias in zip(self._by_width.values(), self.weights, self.biases, strict=True):
            asked = [row for row, place in enumerate(places) if place in read]
            if not asked:
                continue
            own = [places[row] for row in asked]
            averages_TBU = torch.stack([averages[place] for place in own])
            own_TBK = torch.baddbmm(_rows(bias, asked), averages_TBU, _rows(weight, asked))
            logits |= zip(own, own_TBK.unbind(), strict=True)
        return torch.stack([logits[place] for place in read])

    def _averages(self, read: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """What the last layer of each head reads, (B, U): averages over the cells."""
        averages = {place: rows for place, rows in read.items() if not self._units[place]}
        for (grid, places), norm in zip(self._by_grid.items(), self.norms, strict=True):
            there = next((read[place] for place in places if place in read), None)
            if there is None:
                continue
            units = [self._units[place] for place in places]
            # The norm's columns are those of all heads of the grid, also of such as are not asked for any more.
            columns = [
                read[place] if place in read else there.new_zeros(len(there), own)
                for place, own in zip(places, units, strict=True)
            ]
            units_BGU = functional.relu(norm(torch.cat(columns, dim=1)).unflatten(0, (-1, math.prod(grid))))
            # Not mean(), which divides on every cell on the way back.
            averages_BU = units_BGU.sum(dim=1) / math.prod(grid)
            averages |= zip(places, torch.split(averages_BU, units, dim=1), strict=True)
        return averages


def _rows(stacked: Tensor, rows: Sequence[int]) -> Tensor:
    """Some rows; not stacked[rows], which would copy their numbers to the device, as a captured step must not."""
    return stacked if len(rows) == len(stacked) else torch.stack([stacked[row] for row in rows])
