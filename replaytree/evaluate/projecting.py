"""Deriving by perturbation: of each decision what stays is the option that validation misses most (Wang et al., 2021).

One decision a step, in an order drawn by chance: first the option of each, then, in cells, which inputs of a node stay.
What was chosen is fixed, and the weights of the supernet are tuned before the next step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from replaytree.space.mixed import Mixing, Mixture, Projection, Row, one_hot
from replaytree.training.bilevel import BilevelTraining, EpochLosses

# The validation images of a perturbation are those that train the numbers, in batches of about so many.
BATCH = 512


class Projecting:
    """The choices made so far, as fixed weights."""

    def __init__(self, mixture: Mixture, *, seed: int) -> None:
        self._mixings = mixture.graph.decisions
        steps = mixture.projections()
        draw = random.Random(seed)
        options = [step for step in steps if step.keep is None]
        inputs = [step for step in steps if step.keep is not None]
        draw.shuffle(options)
        draw.shuffle(inputs)
        self.steps = (*options, *inputs)
        self._done = 0
        self._fixed: dict[int, Row] = {}

    @property
    def is_done(self) -> bool:
        """Whether every choice is made."""
        return self._done == len(self.steps)

    @property
    def decided(self) -> frozenset[int]:
        """The decisions whose weights are fixed."""
        return frozenset(self._fixed)

    def with_fixed(self, rows: Sequence[Row]) -> list[Row]:
        """The weights, with those of what was chosen."""
        return [self._fixed.get(of, row) for of, row in enumerate(rows)]

    def step(self, training: BilevelTraining, *, tuning_epochs: int) -> EpochLosses:
        """Make the next choice, and train the weights after it."""
        step = self.steps[self._done]
        images = training.number_images
        held = replace(images, val_images=images.train_images, val_labels=images.train_labels)
        rows = self.with_fixed(training.rows())

        def without(changed: Mapping[int, Row]) -> float:
            index_N = torch.arange(len(held.val_labels), device=held.val_labels.device)
            perturbed = [changed.get(of, row) for of, row in enumerate(rows)]
            return training.accuracy(perturbed, held, index_N, batch_size=BATCH)

        self._fixed |= chosen(step, self._mixings, rows, without)
        self._done += 1
        losses = EpochLosses(0.0, None, True)
        for _ in range(tuning_epochs):
            one = training.tune(self._fixed)
            losses = replace(one, is_finite=one.is_finite and losses.is_finite)
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"done": self._done, "fixed": {of: list(row) for of, row in self._fixed.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._done = int(state["done"])
        self._fixed = {int(of): tuple(row) for of, row in state["fixed"].items()}


def chosen(
    step: Projection, mixings: Sequence[Mixing], rows: Sequence[Row], without: Callable[[Mapping[int, Row]], float]
) -> dict[int, Row]:
    """The weights that a step fixes. `without(changed)` is the accuracy where some decisions have changed weights.

    Of equal ones the first stays.
    """
    if step.keep is not None and len(step.decisions) == 1:
        [of] = step.decisions
        missed = {option: -without({of: _dropped(rows[of], option)}) for option in range(len(rows[of]))}
        kept = sorted(missed, key=lambda option: -missed[option])[: step.keep]
        return {of: one_hot(len(rows[of]), *kept)}
    if step.keep is not None:
        nothing = {of: (0.0,) * len(rows[of]) for of in step.decisions}
        missed = {of: -without({of: nothing[of]}) for of in step.decisions}
        kept = sorted(step.decisions, key=lambda of: -missed[of])[: step.keep]
        return {of: row for of, row in nothing.items() if of not in kept}
    [of] = step.decisions
    mixing, row = mixings[of], rows[of]
    options = [option for option in range(len(row)) if option not in mixing.never]
    missed = {option: -without({of: _dropped(row, option)}) for option in options}
    if mixing.kind == "inputs":
        whole = without({})
        return {of: one_hot(len(row), *(option for option in options if -missed[option] < whole))}
    return {of: one_hot(len(row), max(options, key=missed.__getitem__))}


def _dropped(row: Row, option: int) -> Row:
    return tuple(0.0 if place == option else weight for place, weight in enumerate(row))
