"""The evaluators: how the prefixes of a path become accuracies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from replaytree.config import Budget
from replaytree.data import ImageData
from replaytree.evaluate.network import PrefixNetwork, SingleHead
from replaytree.evaluate.training import Diverged, Recipe, train, validation_accuracies
from replaytree.records import FailureKind, Path, PathEvaluation, Space
from replaytree.space import LayerSpace


class JointEvaluator:
    """One training scores every prefix of a path: a head after each layer, the sum of their losses."""

    def __init__(self, space: LayerSpace, data: ImageData, *, recipe: Recipe, device: torch.device) -> None:
        self._space = space
        self._recipe = recipe
        self._device = device
        self._data = data.to(device)

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One training a path; a path that fails does not touch the others."""
        return [self._evaluate(path, budget, seed + index) for index, path in enumerate(paths)]

    def _evaluate(self, path: Path, budget: Budget, seed: int) -> PathEvaluation:
        return _guarded(
            [lambda: PrefixNetwork(self._space, path, self._data.num_classes)],
            self._data,
            budget=budget,
            recipe=self._recipe,
            seed=seed,
        )


class SeparateEvaluator:
    """Every prefix is trained by itself (the poster): as true as its budget allows, at T times the cost."""

    def __init__(self, space: Space, data: ImageData, *, recipe: Recipe, device: torch.device) -> None:
        self._space = space
        self._recipe = recipe
        self._device = device
        self._data = data.to(device)

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One training a prefix, shallow to deep; a failure ends its path but keeps what came before."""
        return [self._evaluate(path, budget, seed + index) for index, path in enumerate(paths)]

    def evaluate_alone(self, path: Path, *, budget: Budget, seed: int) -> PathEvaluation:
        """The whole path only, none of its prefixes: one accuracy, or a failure."""
        return self._trained([path], budget, seed)

    def _evaluate(self, path: Path, budget: Budget, seed: int) -> PathEvaluation:
        return self._trained([path[:depth] for depth in range(1, len(path) + 1)], budget, seed)

    def _trained(self, prefixes: Sequence[Path], budget: Budget, seed: int) -> PathEvaluation:
        def builder(prefix: Path) -> Callable[[], nn.Module]:
            return lambda: SingleHead(self._space.build(prefix, self._data.num_classes))

        builders = [builder(prefix) for prefix in prefixes]
        return _guarded(builders, self._data, budget=budget, recipe=self._recipe, seed=seed)


def _guarded(
    builders: Sequence[Callable[[], nn.Module]], data: ImageData, *, budget: Budget, recipe: Recipe, seed: int
) -> PathEvaluation:
    """Build, train and validate each network in turn; whatever goes wrong becomes a failure of this path.

    The global generators are left as they were found, so that layers may draw their weights from them.
    """
    device = data.train_images.device
    accuracies: list[float] = []
    started = time.perf_counter()

    def ended(failure: FailureKind | None = None, text: str = "") -> PathEvaluation:
        seconds = time.perf_counter() - started
        return PathEvaluation(accuracies, failure=failure, failure_text=text, train_seconds=seconds)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for build in builders:
            try:
                network = build().to(device)
                if device.type == "cuda":
                    network = network.to(memory_format=torch.channels_last)
                train(network, data, budget=budget, recipe=recipe, seed=seed)
                accuracies += validation_accuracies(network, data, balanced=recipe.balanced)
            except Diverged as error:
                return ended("diverged", str(error))
            except torch.OutOfMemoryError as error:
                return ended("out_of_memory", str(error))
            except Exception as error:
                # A user's layer may raise anything, and a search of days must not end for one path.
                return ended("error", f"{type(error).__name__}: {error}")
    return ended()
