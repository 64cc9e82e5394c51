"""The evaluator that scores every prefix of its paths in one training."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from replaytree.config import Budget
from replaytree.data import ImageData
from replaytree.evaluate.attempt import Failure, attempt, attempt_in_smaller_batches, failed_evaluation
from replaytree.evaluate.inherited import KeptWeights
from replaytree.networks.trie import PrefixNetwork
from replaytree.records import Path, PathEvaluation, Space
from replaytree.space import batches_of_paths, prefixes, trie_cost
from replaytree.space.graph_space import require_networks
from replaytree.training.baton import clock
from replaytree.training.device import usable_bytes
from replaytree.training.diverged import Diverged
from replaytree.training.loop import Training
from replaytree.training.recipe import Recipe
from replaytree.training.threads import Threads, threads_on, using


class JointEvaluator:
    """One training scores every prefix of its paths: a head after each layer, the sum of their losses.

    Paths given together are trained as one trie, as far as memory allows, so shared layers are computed once. Paths
    that share nothing are trained as they would be alone, except for the order of the images. An accuracy that an
    earlier path of the trie also reports is `shared`. `memory_bytes` is the memory that trainings may use; None means
    as much as the device has, with room for other programs, and of that `memory_share`, where other workers have the
    rest. `threads` None means as many as they gain by. `inherits`: the weights that trainings start from, which are
    then of one path each. SpaceError unless the space is nested.
    """

    def __init__(
        self,
        space: Space,
        data: ImageData,
        *,
        recipe: Recipe,
        device: torch.device,
        memory_bytes: int | None = None,
        memory_share: float = 1.0,
        threads: Threads | None = None,
        inherits: KeptWeights | None = None,
    ) -> None:
        self._space = require_networks(space, nested=True)
        self._inherits = inherits
        self._recipe = recipe
        self._device = device
        self._memory_bytes = usable_bytes(device, share=memory_share) if memory_bytes is None else memory_bytes
        self._threads = threads_on(threads, device)
        self._data = data.to(device)

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path, in order. A path that fails is left out, and the others are trained without it.

        A batch of paths is trained with the seed of its first path, which is `seed` + that path's index.
        """
        results: dict[int, PathEvaluation] = {}
        waiting = deque(
            batches_of_paths(
                self._space,
                paths,
                batch_size=self._recipe.batch_size,
                memory_bytes=self._memory_bytes,
                hidden=self._recipe.hidden,
            )
        )
        while waiting:
            batch = waiting.popleft()
            together = [paths[index] for index in batch]
            started = clock()
            with using(1):
                outcome = self._attempt(together, budget=budget, seed=seed + batch[0])
            seconds = clock() - started
            if not isinstance(outcome, Failure):
                for index, evaluation in zip(batch, outcome, strict=True):
                    results[index] = replace(evaluation, train_seconds=seconds / len(batch))
                continue
            failed, rest = _parted(together, outcome)
            waiting.extendleft(tuple(batch[place] for place in places) for places in reversed(rest))
            for place in failed:
                results[batch[place]] = failed_evaluation(outcome, seconds=seconds / len(failed))
        return [results[index] for index in range(len(paths))]

    def _attempt(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation] | Failure:
        """The accuracies of every path. Smaller batches of images are tried only for a path alone."""
        cost = trie_cost(self._space, paths, hidden=self._recipe.hidden)
        if self._inherits is not None:
            assert len(paths) == 1, "InheritedEvaluator asks for one path at a time"
            budget = self._inherits.budget(paths[0], budget)

        def run(recipe: Recipe) -> list[PathEvaluation]:
            network = PrefixNetwork(
                self._space, paths, self._data.num_classes, discount=recipe.discount, hidden=recipe.hidden
            )
            if self._inherits is not None:
                self._inherits.start(paths[0], network.modules_of(paths[0]))
            threads = partial(self._threads.number, cost.flops * recipe.batch_size)
            training = Training(network, self._data, epochs=budget.epochs, recipe=recipe, seed=seed, threads=threads)
            try:
                evaluations = _train_paths(training, network, paths, budget=budget)
            except Diverged as error:
                # Once paths were stopped, the network has fewer heads than these paths have prefixes.
                every = prefixes(paths)
                raise Diverged(str(error), tuple(every.index(network.nodes[head]) for head in error.heads)) from None
            if self._inherits is not None and evaluations[0].epochs is None:
                _keep(self._inherits, paths[0], evaluations[0], network)
            return evaluations

        if len(paths) > 1:
            needed, limit = cost.train_bytes(self._recipe.batch_size), self._memory_bytes
            return attempt(
                partial(run, self._recipe), seed=seed, device=self._device, needed=needed, memory_bytes=limit
            )
        return attempt_in_smaller_batches(
            run,
            recipe=self._recipe,
            needed=lambda recipe: cost.train_bytes(recipe.batch_size),
            memory_bytes=self._memory_bytes,
            seed=seed,
            device=self._device,
        )


def _keep(kept: KeptWeights, path: Path, evaluation: PathEvaluation, network: PrefixNetwork) -> None:
    """Keep what a whole training made of every prefix of its path."""
    measured = enumerate(evaluation.accuracies, start=1)
    kept.keep((path[:depth], a, network.modules_of(path[:depth])) for depth, a in measured if a is not None)


def _train_paths(
    training: Training, network: PrefixNetwork, paths: Sequence[Path], *, budget: Budget
) -> list[PathEvaluation]:
    """Train a trie. Paths below the budget's bar at its checkpoint end there, with their accuracies so far."""

    def measured(path: Path, accuracies: Sequence[float]) -> list[float]:
        return [accuracies[place] for place in network.places(path)]

    reached: dict[Path, float] = {}
    stopped: dict[Path, PathEvaluation] = {}
    if budget.checkpoint is not None and budget.checkpoint < budget.epochs:
        training.run(until=budget.checkpoint)
        accuracies = training.validate()
        for path in paths:
            own = measured(path, accuracies)
            reached[path] = max(own)
            if budget.bar is not None and reached[path] < budget.bar:
                stopped[path] = PathEvaluation(own, epochs=budget.checkpoint, checkpoint_accuracy=reached[path])
        if stopped and len(stopped) < len(paths):
            network.keep([path for path in paths if path not in stopped])
            training.network_changed()
    best = None
    if len(stopped) < len(paths):
        accuracies, best = training.finish(until=budget.epochs)
    evaluations = [
        stopped.get(path)
        or PathEvaluation(
            measured(path, accuracies),
            checkpoint_accuracy=reached.get(path),
            best_accuracies=None if best is None else measured(path, best),
        )
        for path in paths
    ]
    return _with_shared(paths, evaluations)


def _with_shared(paths: Sequence[Path], evaluations: Sequence[PathEvaluation]) -> list[PathEvaluation]:
    """The evaluations of one trie, each with the number of its accuracies that an earlier one reports.

    A path that was stopped and one that was trained to the end share nothing: their accuracies of a prefix differ.
    """
    reported: set[tuple[int | None, Path]] = set()
    marked = []
    for path, evaluation in zip(paths, evaluations, strict=True):
        own = {(evaluation.epochs, path[:depth]) for depth in range(1, len(path) + 1)}
        # A path that reports a prefix also reports all shorter prefixes of it.
        marked.append(replace(evaluation, shared=len(own & reported)))
        reported |= own
    return marked


def _parted(paths: Sequence[Path], failure: Failure) -> tuple[list[int], list[list[int]]]:
    """The places of the failed paths, and batches of the places of the others, which are to be trained without them.

    Where it is unknown which of several paths failed, none counts as failed yet: each half is tried by itself.
    """
    everyone = list(range(len(paths)))
    if len(paths) == 1:
        return everyone, []
    nodes = prefixes(paths)
    at_fault = {failure.node} if failure.node is not None else {nodes[head] for head in failure.heads}
    failed = [place for place in everyone if not at_fault.isdisjoint(prefixes([paths[place]]))]
    if failure.node is not None or 0 < len(failed) < len(paths):
        rest = [place for place in everyone if place not in failed]
        return failed, [rest] if rest else []
    everyone.sort(key=lambda place: paths[place])
    middle = len(paths) // 2
    return [], [sorted(everyone[:middle]), sorted(everyone[middle:])]
