"""Scores of an evaluator whose state changes with every turn, as strategies see them.

Rankings compare scores of one state. Strategies cannot wait for that: a turn scores few paths. Scores at turns that
differ by less than a factor of two are alike enough, because a supernet learns more and more slowly. So strategies see
them as of one budget, the power of two below, and a node has at most a dozen budgets after 5,000 turns.
"""

from __future__ import annotations

import math
from itertools import groupby

from replaytree.records import BudgetSums, NodeStats


def power_below(epochs: int) -> int:
    """The largest power of two that is not above: 1, 2, 2, 4, 4, 4, 4, 8."""
    return 1 << (epochs.bit_length() - 1)


def folded(node: NodeStats) -> NodeStats:
    """The node with the sums of all budgets between one power of two and the next in one."""
    groups = groupby(node.budgets, key=lambda sums: power_below(sums.epochs))
    together = ((epochs, list(group)) for epochs, group in groups)
    return NodeStats(
        node.path,
        node.visit_count,
        tuple(
            BudgetSums(
                epochs,
                sum(sums.evaluation_count for sums in group),
                math.fsum(sums.total_accuracy for sums in group),
            )
            for epochs, group in together
        ),
    )
