"""What another search's tree says of any prefix: a value model of its own, fitted once.

The two searches measure on different scales (other images, other budgets), so only ranks within each tree mean
anything: both models speak in normal scores of their own tree (normal_scores.py). They are mixed by the share that
the prior has in the memory, which falls as this search's own trainings come in.

Two models rather than one that is fitted to both: what a search trains is chosen, and so better than the average of
its space, from its first training on. Ranked together with the other tree, its good paths would count as average ones.
A mixture of two rankings has no common zero to get wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from replaytree.policy.memory import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.value_model import ValueEnsemble
from replaytree.records import Path

FITS = 10


class PriorValues:
    """An ensemble fitted to a prior. The same prior and seed give the same values, so no state is kept of it."""

    def __init__(
        self, prior: ReplayMemory, *, num_actions: int, max_layers: int, seed: int, spread: float = 1.0
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._values = ValueEnsemble(num_actions, max_layers, generator=generator, spread=spread)
        table = NodeTable(max_layers)
        for node in prior:
            table.put(node)
        for _ in range(FITS):
            self._values.fit(table)

    def mixed(self, own: ValueEnsemble, prefixes: Sequence[Path], *, epochs: int, share: float) -> Tensor:
        """Values y (M, N) on the scale of the search's own model, of which the prior says `share`, in [0, 1]."""
        prior_MN, own_MN = (values.scores(prefixes, epochs=epochs) for values in (self._values, own))
        return own.values(share * prior_MN + (1.0 - share) * own_MN)
