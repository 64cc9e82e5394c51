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

    def batches(self, *, generator: torch.Generator, first: int = 0, epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: what the network reads, and what it is to answer (B,).

        `first`: the number of the batch to begin with, where batches have an order. `epoch`: how many epochs were
        before it, where they differ.
        """
        ...

    def pieces(self, inputs: Tensor, labels_B: Tensor, number: int) -> list[tuple[Tensor, Tensor]]:
        """A batch in so many parts, about as large as each other."""
        ...

    def validated(self, network: nn.Module) -> list[float]:
        """The metric of each head on the validation examples, T fractions. Raises Diverged where there is none."""
        ...

    def held_out(self, *, seed: int, few: int | None = None) -> Tensor:
        """Validation examples to score networks on: all of them, or a `few` that depend on the seed."""
        ...

    def scores(self, network: nn.Module, held_out: Tensor, *, batch_size: int) -> list[float]:
        """The metric of each head on held out examples, about `batch_size` of them at once. Raises Diverged."""
        ...
