"""Averages of a network's weights over its training: a moving one, and one that begins when progress ends."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

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
        # Made once: a list of all averages, and of what they are of, for one operation a step.
        self._averages = [kept for kept, _ in pairs if kept.is_floating_point()]
        self._averaged = [new for _, new in pairs if new.is_floating_point()]
        self._copies = [kept for kept, _ in pairs if not kept.is_floating_point()]
        self._copied = [new for _, new in pairs if not new.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network as it is after `step`, counted from 0; counters of batches are copied."""
        weight = 1.0 - average_decay(step, self._steps, share=self._share)
        torch._foreach_lerp_(self._averages, self._averaged, weight)
        if self._copies:
            torch._foreach_copy_(self._copies, self._copied)

    def state_dict(self) -> dict[str, Any]:
        """The averages."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self.network.load_state_dict(state)


class TriggeredAverage:
    """The mean of a network's weights after every step since validation stopped to improve (NT-ASGD of AWD-LSTM).

    Validation has stopped to improve where it is worse than the best of those more than `patience` epochs before it.
    Until then `network` is the one in training itself.
    """

    def __init__(self, network: nn.Module, *, patience: int) -> None:
        self.network = network
        self._trained = network
        self._patience = patience
        self._heard: list[float] = []
        self._count = 0

    def can_begin(self, *, epoch: int, epochs: int) -> bool:
        """Whether validation after this many epochs, or after later ones, may decide over what is left."""
        return self.network is self._trained and epochs > self._patience + 2 and epoch < epochs

    def heard(self, fraction: float) -> None:
        """Take in the validation after an epoch; higher is better."""
        before = self._heard[: -self._patience]
        if before and fraction < max(before):
            self.network = copy.deepcopy(self._trained)
        self._heard.append(fraction)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the network as it is after a step."""
        if self.network is self._trained:
            return
        self._count += 1
        for mean, new in zip(self.network.parameters(), self._trained.parameters(), strict=True):
            mean.lerp_(new, 1.0 / self._count)

    def state_dict(self) -> dict[str, Any]:
        """All that later epochs depend on."""
        began = self.network is not self._trained
        return {
            "heard": list(self._heard),
            "count": self._count,
            "mean": self.network.state_dict() if began else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._heard, self._count = list(state["heard"]), int(state["count"])
        self.network = self._trained
        if state["mean"] is not None:
            self.network = copy.deepcopy(self._trained)
            self.network.load_state_dict(state["mean"])


def average_decay(step: int, steps: int, *, share: float) -> float:
    """The decay of the weight average after `step` + 1 steps: 1 - 1 / horizon, the horizon `share` of all steps.

    The horizon is never longer than half of the steps so far, so that the random start is forgotten.
    """
    horizon = max(1.0, min(share * steps, (step + 1) / 2))
    return 1.0 - 1.0 / horizon
