"""The depth calibration of a running search: which prefixes are trained alone, and what strategies then see.

A small share of what the joint trainings cost goes to trainings of single prefixes. Costs are counted in FLOPs, not in
seconds, so that the same search makes the same choices on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from replaytree.config import Budget
from replaytree.records import NodeStats, Path, PathEvaluation, Space
from replaytree.tree import Calibration, Pair, Point, SeparateTraining, estimate, most_telling_depth


class TrainsAlone(Protocol):
    """What trains a path by itself, none of its prefixes."""

    def evaluate_alone(self, path: Path, *, budget: Budget, seed: int) -> PathEvaluation:
        """One accuracy, or a failure."""
        ...


class Calibrator:
    """Trains prefixes by themselves as far as `share` of the joint trainings' FLOPs allows.

    Nothing is calibrated where `trainer` is None or the share is 0, as with an evaluator that trains every prefix
    alone.
    """

    def __init__(self, space: Space, trainer: TrainsAlone | None, *, share: float) -> None:
        self._space = space
        self._trainer = trainer
        self._share = share if trainer is not None else 0.0
        self.load(Calibration())

    def load(self, calibration: Calibration) -> None:
        """Continue from the calibration of a stored search."""
        self._pairs: list[Pair] = list(calibration.pairs)
        self._joint_flops = calibration.joint_flops
        self._separate_flops = calibration.separate_flops
        self._biases: dict[int, list[float]] = {}

    def after(
        self, episodes: Mapping[int, tuple[Path, PathEvaluation]], *, budget: Budget, seed: int
    ) -> list[SeparateTraining]:
        """At most one separate training for each joint training that ran to its end. Keys are places of episodes.

        A prefix that an earlier path shares is not chosen, because one reading would count as two.
        """
        trainings = []
        for place, (path, evaluation) in episodes.items():
            if not self._share or self._trainer is None:
                break
            costs = [self._flops(path[:depth], budget.epochs) for depth in range(1, len(path) + 1)]
            self._joint_flops += self._flops(path, evaluation.epochs or budget.epochs)
            stopped = len(evaluation.accuracies) < len(path) or evaluation.epochs is not None
            if stopped or evaluation.shared == len(path):
                continue
            measured = [(pair.depth, pair.epochs) for pair in self._pairs]
            depth = most_telling_depth(measured, costs, epochs=budget.epochs, beyond=evaluation.shared)
            if self._separate_flops + costs[depth - 1] > self._share * self._joint_flops:
                continue
            alone = self._trainer.evaluate_alone(path[:depth], budget=budget, seed=seed + place)
            trainings.append(SeparateTraining(place, depth, budget.epochs, alone))
            self._separate_flops += costs[depth - 1]
            if alone.accuracies:
                self._pairs.append(Pair(depth, budget.epochs, evaluation.accuracies[depth - 1], alone.accuracies[0]))
                self._biases.clear()
        return trainings

    def of_node(self, stats: NodeStats) -> NodeStats:
        """A node with its sums calibrated; averages stay within [0, 1]."""
        if not self._pairs:
            return stats
        depth = len(stats.path)
        budgets = tuple(
            replace(
                sums,
                total_accuracy=min(
                    max(sums.total_accuracy - sums.evaluation_count * self._bias(depth, sums.epochs), 0.0),
                    float(sums.evaluation_count),
                ),
            )
            for sums in stats.budgets
        )
        return replace(stats, budgets=budgets)

    def of_training(self, evaluation: PathEvaluation, *, epochs: int) -> PathEvaluation:
        """A joint training of a budget with its accuracies calibrated; they stay within [0, 1]."""
        if not self._pairs:
            return evaluation
        epochs = evaluation.epochs or epochs
        accuracies = [
            min(max(accuracy - self._bias(depth, epochs), 0.0), 1.0)
            for depth, accuracy in enumerate(evaluation.accuracies, start=1)
        ]
        return replace(evaluation, accuracies=accuracies)

    def _bias(self, depth: int, epochs: int) -> float:
        # All depths of a budget in one call, as in the tree, so that a resumed search gets the same last bits.
        if epochs not in self._biases:
            points: Sequence[Point] = [(d, epochs) for d in range(1, self._space.max_layers + 1)]
            self._biases[epochs] = [bias.value for bias in estimate(self._pairs, points)]
        return self._biases[epochs][depth - 1]

    def _flops(self, prefix: Path, epochs: int) -> int:
        cost = self._space.cost(prefix)
        assert cost is not None, "a space that can be trained knows its costs"
        return epochs * cost[1]
