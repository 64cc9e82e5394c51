"""The reward: accuracy, weighed against cost and to a power. Strategies see it; the tree keeps plain accuracies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from replaytree.errors import ConfigError, SpaceError
from replaytree.records import NodeStats, Path, PathEvaluation, Space
from replaytree.space.graph_space import require_graphs
from replaytree.space.latency_table import LatencyTable


def soft_reward(accuracy: float, cost: float, *, target: float, weight: float) -> float:
    """accuracy * (cost / target)^weight above the target, accuracy at or below it; in [0, 1].

    "MnasNet: Platform-Aware Neural Architecture Search for Mobile" (Tan et al., 2019), equation 3 with alpha = 0 and
    beta = `weight`, which is not above 0 (the paper's soft value is -0.07: twice the cost is worth 5 % accuracy). With
    alpha = beta a small network's reward could pass 1, which is not a reward here. Raises ConfigError for a target
    that is not over 0 or a weight over 0.
    """
    if not target > 0:
        raise ConfigError(
            f"the target cost is {target}; it must be over 0 (--target-params, --target-flops, --target-latency)"
        )
    if not math.isfinite(weight) or weight > 0:
        raise ConfigError(f"cost_weight is {weight}; it must be a number of at most 0 (--cost-weight)")
    return accuracy * math.pow(max(1.0, cost / target), weight)


@dataclass(frozen=True, slots=True)
class SoftReward:
    """accuracy^power, times the factors of soft_reward() for parameters, FLOPs and latency where these have targets.

    A training is rewarded for the best accuracies of its last epochs, where it brings them (PathEvaluation); a node for
    its average, to the power.
    """

    space: Space
    target_params: int | None = None
    target_flops: int | None = None
    weight: float = -0.07
    power: float = 1.0
    target_latency: float | None = None
    table: LatencyTable | None = None

    def factor(self, prefix: Path) -> float:
        """What the accuracy of a prefix is multiplied by, in (0, 1]."""
        factor = 1.0
        if self.target_latency is not None:
            assert self.table is not None, "a target has the table that it goes by"
            spent = self.table.latency_ms(require_graphs(self.space).network(prefix))
            factor = soft_reward(1.0, spent, target=self.target_latency, weight=self.weight)
        if self.target_params is None and self.target_flops is None:
            return factor
        cost = self.space.cost(prefix)
        if cost is None:
            raise SpaceError("the space does not know what its layers cost, so there can be no target for it")
        for spent, target in zip(cost, (self.target_params, self.target_flops), strict=True):
            if target is not None:
                factor *= soft_reward(1.0, spent, target=target, weight=self.weight)
        return factor

    def of_node(self, stats: NodeStats) -> NodeStats:
        """A node with its accuracies as rewards."""
        factor = self.factor(stats.path)
        if factor == self.power == 1.0:
            return stats
        budgets = tuple(
            replace(sums, total_accuracy=sums.evaluation_count * sums.average_accuracy**self.power * factor)
            if sums.average_accuracy is not None and self.power != 1.0
            else replace(sums, total_accuracy=sums.total_accuracy * factor)
            for sums in stats.budgets
        )
        return replace(stats, budgets=budgets)

    def of_training(self, path: Path, evaluation: PathEvaluation) -> PathEvaluation:
        """A training with its accuracies as rewards."""
        accuracies = evaluation.accuracies if evaluation.best_accuracies is None else evaluation.best_accuracies
        rewards = [
            None if a is None else a**self.power * self.factor(path[:depth])
            for depth, a in enumerate(accuracies, start=1)
        ]
        return replace(evaluation, accuracies=rewards, best_accuracies=None)
