"""Tables of known accuracies that are made by a seeded generator, each hard in a way of its own.

Every decision of every layer has an effect for each of its options, and every two decisions have an interaction for
each pair of theirs. The quality z of an architecture is the weighted sum of both, with mean 0 and deviation 1 over
whole architectures. Its mean error is `error` exp(-`spread` z): a small `spread` makes accuracies that differ by tenths
of a point, a large one by tens of points. A training's deviation is `noise` times the error, as of real trainings.

Shapes: N architectures, P places (decisions of all layers), R trainings of an architecture.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from replaytree.border import whole
from replaytree.errors import ConfigError
from replaytree.evaluate.tabular import Table
from replaytree.records import Path, Space
from replaytree.space import Convolution, LabelSpace, chain_space

PREFIX = "synthetic:"
TRAININGS = 3
MOST_ERROR = 0.95
# A prefix without meaning is a worse network, by so many deviations, than the mean whole architecture.
MEANINGLESS = 1.5


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a table is made.

    `options`: of every decision of a layer. `pairs`: the share of the interactions in the variance of z. `prefixes`:
    whether a prefix is the sum over its own layers (`gain` deviations less for each layer that it lacks), a random
    number, or not measured.
    """

    depth: int
    options: tuple[int, ...]
    pairs: float
    error: float
    spread: float
    noise: float
    prefixes: Literal["sums", "random", "none"] = "sums"
    gain: float = 0.4


RECIPES: Mapping[str, Recipe] = {
    "additive": Recipe(depth=5, options=(6,), pairs=0.0, error=0.25, spread=0.5, noise=0.08),
    "additive-narrow": Recipe(depth=6, options=(5,), pairs=0.0, error=0.08, spread=0.03, noise=0.02, gain=0.2),
    "rugged": Recipe(depth=5, options=(6,), pairs=0.7, error=0.25, spread=0.5, noise=0.08),
    "rugged-narrow": Recipe(depth=4, options=(8,), pairs=0.7, error=0.08, spread=0.03, noise=0.02, gain=0.2),
    "meaningless": Recipe(depth=5, options=(6,), pairs=0.5, error=0.2, spread=0.4, noise=0.06, prefixes="random"),
    "cells": Recipe(depth=6, options=(5,), pairs=0.5, error=0.12, spread=0.3, noise=0.04, prefixes="none"),
    "decisions": Recipe(depth=4, options=(3, 3), pairs=0.4, error=0.15, spread=0.3, noise=0.05),
}


def is_synthetic(name: str) -> bool:
    """Whether a table is named 'synthetic:...', and is no file."""
    return name.startswith(PREFIX)


def synthetic_table(name: str) -> Table:
    """The table of a name such as 'synthetic:rugged', or 'synthetic:rugged:7' for another draw; ConfigError."""
    kind, _, seed = name.removeprefix(PREFIX).partition(":")
    if kind not in RECIPES:
        raise ConfigError(f"{name!r} is no table; one of {', '.join(PREFIX + each for each in RECIPES)} is")
    number = whole(f"the seed of {name}", int(seed) if seed.isdecimal() else seed or 0, least=0, error=ConfigError)
    return made(RECIPES[kind], seed=[number, zlib.crc32(kind.encode())])


def made(recipe: Recipe, *, seed: int | list[int]) -> Table:
    """The table of a recipe: all paths, shallow to deep."""
    generator = np.random.default_rng(seed)
    quality = _Quality(recipe, generator)
    count = int(np.prod(recipe.options))
    accuracies: dict[Path, tuple[float, ...]] = {}
    for depth in range(1, recipe.depth + 1):
        if recipe.prefixes == "none" and depth < recipe.depth:
            continue
        paths = list(product(range(count), repeat=depth))
        if recipe.prefixes == "random" and depth < recipe.depth:
            z_N = generator.normal(-MEANINGLESS, 1.0, len(paths))
        else:
            z_N = quality.of(paths) - recipe.gain * (recipe.depth - depth)
        error_N = recipe.error * np.exp(-recipe.spread * z_N)
        noisy_NR = error_N[:, None] * (1.0 + recipe.noise * generator.normal(size=(len(paths), TRAININGS)))
        accuracy_NR = 1.0 - np.clip(noisy_NR, 0.0, MOST_ERROR)
        accuracies.update(zip(paths, map(tuple, accuracy_NR.round(6).tolist()), strict=True))
    space = _space(recipe)
    labels = tuple(space.label((), action) for action in range(count))
    return Table(labels, accuracies, {}, own_space=None if isinstance(space, LabelSpace) else space)


def _space(recipe: Recipe) -> Space:
    """Chains of letters; or, of several decisions a layer, of small convolutions, whose labels and costs are real."""
    if len(recipe.options) == 1:
        return LabelSpace(list("abcdefgh"[: recipe.options[0]]), max_layers=recipe.depth)
    channels, kernels = recipe.options
    return chain_space(
        {"channels": [8 * 2**n for n in range(channels)], "kernel": [1 + 2 * n for n in range(kernels)]},
        Convolution,
        input_shape=(1, 8, 8),
        num_classes=10,
        max_layers=recipe.depth,
    )


class _Quality:
    """z of paths: effects and interactions of decisions."""

    def __init__(self, recipe: Recipe, generator: np.random.Generator) -> None:
        self._options = recipe.options
        sizes_P = recipe.options * recipe.depth
        self._effects = [_centred(generator.normal(size=size)) for size in sizes_P]
        self._interactions = {
            (p, q): _centred(generator.normal(size=(sizes_P[p], sizes_P[q])))
            for q in range(len(sizes_P))
            for p in range(q)
        }
        # Effects are centred and places are independent, so that variances add up.
        self._main = _weight(1.0 - recipe.pairs, [float(effect.var()) for effect in self._effects])
        self._pair = _weight(recipe.pairs, [float(each.var()) for each in self._interactions.values()])

    def of(self, paths: list[Path]) -> NDArray[np.float64]:
        """(N,), for paths of one depth."""
        actions_NT = np.array(paths)
        values_NP = np.concatenate([self._values(actions_N) for actions_N in actions_NT.T], axis=1)
        P = values_NP.shape[1]
        main_N = sum(self._effects[p][values_NP[:, p]] for p in range(P))
        pair_N = sum(table[values_NP[:, p], values_NP[:, q]] for (p, q), table in self._interactions.items() if q < P)
        return np.asarray(self._main * main_N + self._pair * pair_N, dtype=np.float64)

    def _values(self, actions_N: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack(np.unravel_index(actions_N, self._options), axis=1)


def _centred(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Less the mean over each axis."""
    for axis in range(table.ndim):
        table = table - table.mean(axis=axis, keepdims=True)
    return table


def _weight(share: float, variances: list[float]) -> float:
    """What effects are multiplied by so that their sum has the variance `share`."""
    return float(np.sqrt(share / sum(variances))) if variances else 0.0
