"""The evaluators that train one network at a time, each with its own head: of every prefix, or of whole paths alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from replaytree.config import Budget
from replaytree.data import Data, TextData
from replaytree.evaluate.attempt import Failure, attempt_in_smaller_batches, failed_evaluation
from replaytree.evaluate.inherited import KeptWeights
from replaytree.networks.reading import Reading
from replaytree.networks.trie import SingleHead
from replaytree.records import Path, PathEvaluation, Space
from replaytree.space.graph_space import require_networks
from replaytree.space.trie import TrieCost
from replaytree.training.baton import clock
from replaytree.training.device import usable_bytes
from replaytree.training.loop import Training
from replaytree.training.recipe import Recipe
from replaytree.training.threads import Threads, threads_on, using


class _Alone:
    """Trains the network of one path with its own head."""

    def __init__(
        self,
        space: Space,
        data: Data,
        *,
        recipe: Recipe,
        device: torch.device,
        memory_bytes: int | None = None,
        memory_share: float = 1.0,
        threads: Threads | None = None,
        inherits: KeptWeights | None = None,
    ) -> None:
        self._space = require_networks(space)
        self._recipe = recipe
        self._device = device
        self._memory_bytes = usable_bytes(device, share=memory_share) if memory_bytes is None else memory_bytes
        self._threads = threads_on(threads, device)
        self._data = data.to(device)
        self._inherits = inherits

    def _train(self, path: Path, budget: Budget, seed: int) -> PathEvaluation | Failure:
        """The one accuracy of a path, or why there is none. Below the budget's bar at its checkpoint it ends there."""
        if self._inherits is not None:
            budget = self._inherits.budget(path, budget)
        graph = self._space.network(path)

        def run(recipe: Recipe) -> PathEvaluation:
            built = self._space.build(path, self._data.num_classes)
            network = Reading(built) if isinstance(self._data, TextData) else SingleHead(built)
            modules = {name: built.get_submodule(name) for name in graph.module_names}
            if self._inherits is not None:
                self._inherits.start(path, modules)
            _, flops = self._space.cost(path) or (0, 0)
            threads = partial(self._threads.number, flops * recipe.step_units)
            training = Training(network, self._data, epochs=budget.epochs, recipe=recipe, seed=seed, threads=threads)
            reached = None
            if budget.checkpoint is not None and budget.checkpoint < budget.epochs:
                training.run(until=budget.checkpoint)
                [reached] = training.validate()
                if budget.bar is not None and reached < budget.bar:
                    return PathEvaluation([reached], epochs=budget.checkpoint, checkpoint_accuracy=reached)
            accuracies, best = training.finish(until=budget.epochs)
            if self._inherits is not None:
                self._inherits.keep([(path, accuracies[0], modules)])
            return PathEvaluation(accuracies, checkpoint_accuracy=reached, best_accuracies=best)

        cost = TrieCost(graph.params, graph.flops, graph.activations)
        with using(1):
            return attempt_in_smaller_batches(
                run,
                recipe=self._recipe,
                needed=lambda recipe: cost.train_bytes(recipe.step_units),
                memory_bytes=self._memory_bytes,
                seed=seed,
                device=self._device,
            )


class SeparateEvaluator(_Alone):
    """Every prefix is trained by itself (the poster): as faithful as its budget allows, at T times the cost.

    `memory_bytes`, `memory_share`, `threads` and `inherits` are as for JointEvaluator.
    """

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One training a prefix, shallow to deep. A failure ends its path; the accuracies before it are kept."""
        return [self._evaluate(path, budget, seed + index) for index, path in enumerate(paths)]

    def _evaluate(self, path: Path, budget: Budget, seed: int) -> PathEvaluation:
        accuracies: list[float | None] = []
        bests: list[float | None] = []
        started = clock()
        # A prefix that is stopped early would be measured at another budget than the others.
        budget = replace(budget, checkpoint=None)
        for depth in range(1, len(path) + 1):
            outcome = self._train(path[:depth], budget, seed)
            if isinstance(outcome, Failure):
                return failed_evaluation(outcome, accuracies, seconds=clock() - started)
            accuracies += outcome.accuracies
            bests += outcome.best_accuracies or outcome.accuracies
        return PathEvaluation(
            accuracies,
            train_seconds=clock() - started,
            best_accuracies=None if self._recipe.reward_epochs == 1 else bests,
        )


class WholeEvaluator(_Alone):
    """One training a path, of the whole path: its prefixes are not measured. Arguments as for SeparateEvaluator.

    For spaces in which the network of a prefix is no part of its continuations', as in cells.
    """

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path, in order; None for all prefixes but the whole path."""
        return [self._evaluate(path, budget, seed + index) for index, path in enumerate(paths)]

    def _evaluate(self, path: Path, budget: Budget, seed: int) -> PathEvaluation:
        started = clock()
        outcome = self._train(path, budget, seed)
        seconds = clock() - started
        if isinstance(outcome, Failure):
            return failed_evaluation(outcome, seconds=seconds)
        unmeasured = [None] * (len(path) - 1)
        best = outcome.best_accuracies
        return replace(
            outcome,
            accuracies=[*unmeasured, *outcome.accuracies],
            best_accuracies=None if best is None else [*unmeasured, *best],
            train_seconds=seconds,
        )
