"""The value of prefixes by another search's tree: a second value model, fitted once.

The two searches measure on different scales (other images, other budgets), so only ranks within each tree can be
compared. Both models therefore predict normal scores within their own tree (normal_scores.py). The scores are mixed by
the prior's share in the memory, which falls as this search trains.

One model fitted to both trees would be wrong: a search chooses what it trains, so its paths are better than the average
of the space from the first training on. Ranked together with the other tree, its good paths would count as average.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from replaytree.policy.memory import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.value_model import ValueEnsemble
from replaytree.records import Path, Space

FITS = 10


class PriorValues:
    """An ensemble fitted to a prior. The same prior and seed give the same values, so it needs no stored state."""

    def __init__(self, prior: ReplayMemory, space: Space, *, seed: int, spread: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._values = ValueEnsemble(space, generator=generator, spread=spread)
        table = NodeTable(space.max_layers)
        for node in prior:
            table.put(node)
        for _ in range(FITS):
            self._values.fit(table)

    def mixed(self, own: ValueEnsemble, prefixes: Sequence[Path], *, epochs: int, share: float) -> Tensor:
        """Values y (M, N) on the scale of the search's own model. `share`, in [0, 1], is the weight of the prior."""
        prior_MN, own_MN = (values.scores(prefixes, epochs=epochs) for values in (self._values, own))
        return own.values(share * prior_MN + (1.0 - share) * own_MN)
