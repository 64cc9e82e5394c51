"""What a training asks of its examples, whatever they are: batches, and how good a network is on others.

Shapes: B examples a batch, T heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn


class Examples(Protocol):
    """Train and validation examples on a device, and the recipe by which they are read."""

    @property
    def epoch_steps(self) -> int:
        """The steps of an epoch."""
        ...

    def placed(self, network: nn.Module) -> nn.Module:
        """The network on the device of the examples, made ready for them."""
        ...

    def batches(self, network: nn.Module, *, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: what the network reads, and what it is to answer (B,)."""
        ...

    def validated(self, network: nn.Module) -> list[float]:
        """The metric of each head on the validation examples, T fractions. Raises Diverged where there is none."""
        ...
