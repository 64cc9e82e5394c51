"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """A copy of a network whose weights and batch norm statistics are averages over the steps of its training.

    `share`, of all `steps`, is about how far back the average reaches.
    """

    def __init__(self, network: nn.Module, *, share: float, steps: int) -> None:
        self.network = copy.deepcopy(network)
        self._share, self._steps = share, steps
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network as it is after `step`, counted from 0; counters of batches are copied."""
        weight = 1.0 - average_decay(step, self._steps, share=self._share)
        averages, news = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(averages, news, weight)
        for kept, new in self._copied:
            kept.copy_(new)


def average_decay(step: int, steps: int, *, share: float) -> float:
    """The decay of the weight average after `step` + 1 steps: 1 - 1 / horizon, the horizon `share` of all steps.

    The horizon is never longer than half of the steps so far, so that the random start is forgotten.
    """
    horizon = max(1.0, min(share * steps, (step + 1) / 2))
    return 1.0 - 1.0 / horizon
