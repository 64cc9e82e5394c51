"""The value of prefixes by another search's tree: a second value model, fitted once.

The two searches measure on different scales (other images, other budgets), so only ranks within each tree can be
compared. Both models therefore predict normal scores within their own tree (normal_scores.py). The scores are mixed by
the prior's share in the memory, which falls as this search trains.

One model fitted to both trees would be wrong: a search chooses what it trains, so its paths are better than the average
of the space from the first training on. Ranked together with the other tree, its good paths would count as average.
"""

from __future__ import annotations

from collections.abc import Sequence

from replaytree.policy.memory import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.value_model import Predicted, ValueModel
from replaytree.records import Path, Space

FITS = 10


class PriorValues:
    """A value model of a prior. The same prior gives the same values, so it needs no stored state."""

    def __init__(self, prior: ReplayMemory, space: Space) -> None:
        self._values = ValueModel(space)
        table = NodeTable(space.max_layers)
        for node in prior:
            table.put(node)
        for _ in range(FITS):
            self._values.fit(table)
        self.paths = self._values.paths
        """The prefixes that the model learned from."""

    def mixed(self, own: Predicted, prefixes: Sequence[Path], *, epochs: int, share: float) -> Predicted:
        """What the search's own model predicted, mixed with the prior; `share`, in [0, 1], is the prior's weight."""
        prior = self._values.predicted(prefixes, epochs=epochs)
        return Predicted(
            share * prior.mean + (1.0 - share) * own.mean,
            share * prior.deviation + (1.0 - share) * own.deviation,
        )
