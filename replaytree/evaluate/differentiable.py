"""The mixed supernet of a differentiable search: trained an epoch at a time, and scoring what is derived from it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from replaytree.config import Budget
from replaytree.config.differentiable import UNKNOWN_LENGTH, DifferentiableOptions
from replaytree.config.weights import WeightOptions
from replaytree.data import ImageData
from replaytree.errors import ConfigError, EvaluationError
from replaytree.evaluate.attempt import Failure, failed_evaluation, failure_of
from replaytree.evaluate.projecting import Projecting
from replaytree.networks.mixed import entropies
from replaytree.records import Mixed, Path, PathEvaluation, Space
from replaytree.space.mixtures import mixture_of
from replaytree.space.trie import BYTES
from replaytree.training.bilevel import BilevelTraining, EpochLosses
from replaytree.training.collapse import FIRST, MOST_SKIPS, collapsed_at
from replaytree.training.device import on, usable_bytes
from replaytree.training.precision import whole_float32
from replaytree.training.recipe import Recipe
from replaytree.training.threads import Threads, threads_on, using

# Batch norm takes the statistics of so many validation images at once.
SCORE_BATCH = 512
# Batch norm cannot train on one image.
LEAST_IMAGES = 4
STATE_FORMAT = 1


class DifferentiableEvaluator:
    """A mixed supernet: `advance` trains it for an epoch and derives a path, `evaluate` scores paths with its weights.

    A path is scored whole, on `score_images` validation images, with its own part of the supernet, with the statistics
    of its batches. `epochs` of an evaluation is the number of epochs that the supernet has been trained for, so that
    only scores of one state are compared.

    SpaceError for a space that has no mixed supernet; ConfigError where it does not fit into memory, or half of the
    training images make no batch.
    """

    def __init__(
        self,
        space: Space,
        data: ImageData,
        *,
        recipe: Recipe,
        device: torch.device,
        options: DifferentiableOptions,
        weights: WeightOptions,
        seed: int,
        memory_bytes: int | None = None,
        threads: Threads | None = None,
    ) -> None:
        self._mixture = mixture_of(space, share=options.channel_share)
        self._options = options
        self._data = data = data.to(device)
        self._device = device
        self._threads = threads_on(threads, device)
        graph = self._mixture.graph
        kept = BYTES * recipe.batch_size * graph.activations(together=options.temperatures is None)
        _require_room(kept, recipe, usable_bytes(device) if memory_bytes is None else memory_bytes)
        _require_images(data, weights)
        self._require_rule()
        self._flops = graph.flops * recipe.batch_size
        self._training = BilevelTraining(
            graph, data, recipe=recipe, options=options, clip=weights.supernet_clip, seed=seed
        )
        self._projecting = Projecting(self._mixture, seed=seed) if options.deriving.derive == "perturbation" else None
        self._few = weights.score_images
        self._seed = seed
        self._epochs = options.bilevel.search_epochs
        self._turns = 0
        self._eigenvalues: list[float] = []
        self._skips: list[int] = []
        self._seconds = 0.0
        self._failure: Failure | None = None
        describe: Callable[[], dict[str, Any]] = getattr(space, "describe", dict)
        self._description = json.dumps({**describe(), "strategy": options.name}, sort_keys=True)

    @property
    def ended(self) -> str | None:
        """Why no epoch is to follow, in words; None where one may."""
        if self._projecting is not None and self._projecting.is_done:
            return "every choice is made by perturbation"
        rule = self._options.bilevel.stop_early
        if rule == "eigenvalue" and (sound := collapsed_at(self._eigenvalues)) is not None:
            return (
                f"the largest eigenvalue has risen from {self._eigenvalues[sound - 1]:.3g} to "
                f"{self._eigenvalues[-1]:.3g} since epoch {sound}, whose path is the one to take"
            )
        if rule == "skips" and self._turns >= FIRST and self._skips[-1] >= MOST_SKIPS:
            return f"the normal cell of epoch {self._turns} has {self._skips[-1]} skips"
        return None

    @property
    def behind(self) -> int:
        """How many epochs before the last one the path was derived that the search ends with: where it was sound."""
        sound = None
        if self._options.bilevel.stop_early == "eigenvalue":
            sound = collapsed_at(self._eigenvalues)
        return 0 if sound is None else len(self._eigenvalues) - sound

    def _require_rule(self) -> None:
        """ConfigError where a rule counts skips that the space has not."""
        if self._options.bilevel.stop_early == "skips" and not any(
            each.skips for each in self._mixture.graph.decisions
        ):
            raise ConfigError(
                "--stop-early skips counts operations of cells that pass their input on, and this space has none; "
                "choose --stop-early eigenvalue"
            )

    def aim(self, trainings: int) -> None:
        """The search is to have so many trainings in all; the first to say so decides in how many epochs rates fall."""
        if self._epochs is not None:
            return
        choices = 0 if self._projecting is None else len(self._projecting.steps)
        if trainings <= choices:
            raise ConfigError(
                f"{trainings} trainings are too few: --derive perturbation takes {choices} for its choices, behind "
                f"those of the search; give at least {choices + 1} (--trainings)"
            )
        self._epochs = trainings - choices

    def advance(self) -> tuple[Path, Mixed, float | None]:
        """Train for an epoch, or make a choice: the path then derived, what the numbers are like, their mean loss."""
        if self._epochs is None:
            raise ConfigError(UNKNOWN_LENGTH)
        started = time.perf_counter()
        with self._prepared():
            losses = self._advanced(self._epochs)
            if self._options.bilevel.stop_early == "eigenvalue":
                self._eigenvalues.append(self._training.eigenvalue())
        self._turns += 1
        self._failure = None
        if not losses.is_finite:
            self._failure = Failure("diverged", "the loss of the supernet, or a gradient, became infinite")
        rows = self._training.rows()
        path = self._mixture.derive(rows if self._projecting is None else self._projecting.with_fixed(rows))
        skips = self._mixture.skips(path)
        self._skips.append(0 if skips is None else skips.normal)
        self._seconds = time.perf_counter() - started
        loss = losses.numbers
        return path, self._mixed(path), loss if loss is not None and math.isfinite(loss) else None

    def _advanced(self, epochs: int) -> EpochLosses:
        try:
            if self._projecting is None or self._training.epoch < epochs:
                return self._training.run_epoch(epochs=epochs)
            return self._projecting.step(self._training, tuning_epochs=self._options.deriving.tuning_epochs)
        except Exception as error:
            failure = failure_of(error)
            if failure.kind != "out_of_memory":
                raise
            raise EvaluationError(
                f"memory does not suffice for the supernet ({failure.text}); start a search with a smaller "
                f"--batch-size, fewer --channels or fewer --cells"
            ) from error

    def _mixed(self, path: Path) -> Mixed:
        found = entropies(self._training.mixings, self._training.numbers)
        if self._projecting is not None:
            # What is chosen is decided, whatever its numbers were.
            found = [0.0 if of in self._projecting.decided else nats for of, nats in enumerate(found)]
        skips = self._mixture.skips(path)
        names = [mixing.name for mixing in self._training.mixings]
        return Mixed(
            dict(zip(names, found, strict=True)),
            None if skips is None else skips.share,
            self._eigenvalues[-1] if self._eigenvalues else None,
            self.behind,
        )

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path, in order: scores of the weights as they are. The budget plays no part."""
        started = time.perf_counter()
        index_N = self._in_random_order(seed)[: self._few]
        evaluations = self._scores(paths, index_N)
        seconds = (self._seconds + time.perf_counter() - started) / max(1, len(paths))
        if self._failure is not None:
            return [failed_evaluation(self._failure, seconds=seconds) for _ in paths]
        return [replace(evaluation, train_seconds=seconds) for evaluation in evaluations]

    def rescore(self, paths: Sequence[Path]) -> list[PathEvaluation]:
        """One evaluation a path, with the weights as they are, on all validation images; nothing is trained."""
        return self._scores(paths, self._in_random_order(self._seed))

    def _scores(self, paths: Sequence[Path], index_N: Tensor) -> list[PathEvaluation]:
        """Of a path that came before, the score is shared."""
        found: dict[Path, float] = {}
        evaluations = []
        for path in paths:
            is_known = path in found
            if not is_known:
                with self._prepared():
                    found[path] = self._training.accuracy(
                        self._mixture.rows(path), self._data, index_N, batch_size=SCORE_BATCH
                    )
            accuracies = [*[None] * (len(path) - 1), found[path]]
            evaluations.append(
                PathEvaluation(accuracies, epochs=max(1, self._turns), shared=len(path) if is_known else 0)
            )
        return evaluations

    def _in_random_order(self, seed: int) -> Tensor:
        """All validation images (N). Batches of one class would have statistics of their own."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randperm(len(self._data.val_labels), generator=generator).to(self._device)

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        """The device, the threads and the random numbers that layers draw, which are left as they were."""
        device = self._device
        with (
            using(self._threads.number(self._flops)),
            on(device),
            whole_float32(device),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            yield

    def state_dict(self) -> dict[str, Any]:
        """All that later epochs and scores depend on: plain values and the tensors in use."""
        return {
            "format": STATE_FORMAT,
            "space": self._description,
            "device": self._device.type,
            "turns": self._turns,
            "epochs": self._epochs,
            "eigenvalues": list(self._eigenvalues),
            "skips": list(self._skips),
            "projected": None if self._projecting is None else self._projecting.state_dict(),
            "training": self._training.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict; ValueError for the state of another space, strategy or kind of device."""
        own = {"format": STATE_FORMAT, "space": self._description, "device": self._device.type}
        for what, wanted in own.items():
            if (found := state.get(what)) != wanted:
                raise ValueError(f"the state of a supernet has {what} {found!r:.200}, and this has {wanted!r:.200}")
        self._training.load_state_dict(state["training"])
        if self._projecting is not None:
            self._projecting.load_state_dict(state["projected"])
        self._turns, self._epochs = int(state["turns"]), state["epochs"]
        self._eigenvalues, self._skips = list(state["eigenvalues"]), list(state["skips"])


def _require_room(needed: int, recipe: Recipe, memory_bytes: int) -> None:
    """ConfigError where a step of the supernet is estimated not to fit."""
    if needed > memory_bytes:
        mib = 2**20
        raise ConfigError(
            f"a step of the supernet is estimated to take {needed / mib:,.0f} MiB for batches of {recipe.batch_size} "
            f"images, and there are {memory_bytes / mib:,.0f}; give a smaller --batch-size, fewer --channels, or "
            f"another strategy: pc-darts and gdas take least"
        )


def _require_images(data: ImageData, weights: WeightOptions) -> None:
    known, images = len(data.val_labels), len(data.train_labels)
    if weights.score_images is not None and weights.score_images > known:
        raise ConfigError(
            f"score_images is {weights.score_images}, and there are {known} validation images; give at most so many, "
            f"or leave out --score-images"
        )
    if images < LEAST_IMAGES:
        raise ConfigError(
            f"there are {images} training images, half of them for the numbers of the supernet; give at least "
            f"{LEAST_IMAGES}"
        )
