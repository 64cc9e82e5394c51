"""The soft reward: accuracy weighed against cost. Strategies see it; the tree keeps plain accuracies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from replaytree.errors import ConfigError, SpaceError
from replaytree.records import NodeStats, Path, PathEvaluation, Space


def soft_reward(accuracy: float, cost: float, *, target: float, weight: float) -> float:
    """accuracy * (cost / target)^weight above the target, accuracy at or below it; in [0, 1].

    "MnasNet: Platform-Aware Neural Architecture Search for Mobile" (Tan et al., 2019), equation 3 with alpha = 0 and
    beta = `weight`, which is not above 0 (the paper's soft value is -0.07: twice the cost is worth 5 % accuracy). With
    alpha = beta a small network's reward could pass 1, which is not a reward here. Raises ConfigError for a target
    that is not over 0 or a weight over 0.
    """
    if not target > 0:
        raise ConfigError(f"the target cost is {target}; it must be over 0 (--target-params, --target-flops)")
    if not math.isfinite(weight) or weight > 0:
        raise ConfigError(f"cost_weight is {weight}; it must be a number of at most 0 (--cost-weight)")
    return accuracy * math.pow(max(1.0, cost / target), weight)


@dataclass(frozen=True, slots=True)
class SoftReward:
    """soft_reward() for parameters, FLOPs or both (the factors are multiplied). Without a target, the accuracy."""

    space: Space
    target_params: int | None = None
    target_flops: int | None = None
    weight: float = -0.07

    def factor(self, prefix: Path) -> float:
        """What the accuracy of a prefix is multiplied by, in (0, 1]."""
        if self.target_params is None and self.target_flops is None:
            return 1.0
        cost = self.space.cost(prefix)
        if cost is None:
            raise SpaceError("the space does not know what its layers cost, so there can be no target for it")
        factor = 1.0
        for spent, target in zip(cost, (self.target_params, self.target_flops), strict=True):
            if target is not None:
                factor *= soft_reward(1.0, spent, target=target, weight=self.weight)
        return factor

    def of_node(self, stats: NodeStats) -> NodeStats:
        """A node with its accuracies as rewards."""
        factor = self.factor(stats.path)
        if factor == 1.0:
            return stats
        budgets = tuple(replace(sums, total_accuracy=sums.total_accuracy * factor) for sums in stats.budgets)
        return replace(stats, budgets=budgets)

    def of_training(self, path: Path, evaluation: PathEvaluation) -> PathEvaluation:
        """A training with its accuracies as rewards."""
        rewards = [a * self.factor(path[:depth]) for depth, a in enumerate(evaluation.accuracies, start=1)]
        return replace(evaluation, accuracies=rewards)
