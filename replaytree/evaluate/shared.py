"""Scores with shared weights: a supernet is trained on the paths of a turn, and then scores them."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replaytree.config import Budget, EvaluatorName
from replaytree.config.weights import WeightOptions
from replaytree.data import Data, ImageData
from replaytree.errors import ConfigError, SpaceError
from replaytree.evaluate.attempt import LEAST_BATCH, Failure, failure_of
from replaytree.evaluate.supernets import require_supernet, supernet_of
from replaytree.policy.random_search import random_path
from replaytree.records import Path, PathEvaluation, Space
from replaytree.sources.names import count_of
from replaytree.space import prefixes
from replaytree.space.graph_space import require_graphs
from replaytree.space.trie import TrieCost, trie_cost
from replaytree.training.capture import release_memory
from replaytree.training.device import on, usable_bytes
from replaytree.training.diverged import Diverged
from replaytree.training.precision import whole_float32
from replaytree.training.recipe import SHARED_RATE, Recipe
from replaytree.training.schedule import cosine, one_cycle
from replaytree.training.shared import SupernetTraining
from replaytree.training.threads import Threads, threads_on, using

# Batch norm takes the statistics of so many validation images at once, where memory suffices.
SCORE_BATCH = 512
# Paths whose network is made at once.
MOST_PATHS = 256
# Random networks of one layer, of which one must fit into memory: a space has fewer, or most of its cheapest are met.
MOST_DRAWN = 512
STATE_FORMAT = 1


class SharedEvaluator:
    """A supernet that is trained for `passes` passes over the training images a turn, and then scores the turn's paths.

    The paths are trained in turn, one a minibatch, with the weights that the supernet has for them; only these change.
    Scores are accuracies on `score_images` validation images, with the statistics of their batches. They are drawn anew
    each turn: a strategy would come to know a few images that are always the same. `rescore` takes all of them.
    In a nested space one pass scores all prefixes of all paths. In others the evaluator `separate` scores every prefix
    by a pass of its own. `whole` scores whole paths alone.

    `epochs` of an evaluation is the number of turns that the supernet has been trained for, so that only scores of one
    state of the supernet are compared. SpaceError for a space that no supernet has the weights of; ConfigError where
    there are fewer images than are asked for, or not even the smallest networks fit into memory.
    """

    def __init__(
        self,
        space: Space,
        data: Data,
        *,
        recipe: Recipe,
        device: torch.device,
        weights: WeightOptions,
        seed: int,
        evaluator: EvaluatorName = "joint",
        memory_bytes: int | None = None,
        threads: Threads | None = None,
    ) -> None:
        self._space = require_supernet(space, nested=evaluator == "joint")
        self._whole = evaluator == "whole"
        self._recipe = recipe
        self._device = device
        self._weights = weights
        self._memory_bytes = usable_bytes(device) if memory_bytes is None else memory_bytes
        self._threads = threads_on(threads, device)
        self._data = data = data.to(device)
        _require_fall(weights, peak=recipe.learning_rate)
        self._training = SupernetTraining(
            supernet_of(self._space, data, recipe, seed=seed, device=device),
            data,
            recipe=recipe,
            clip=weights.supernet_clip if isinstance(data, ImageData) else recipe.grad_clip,
        )
        self._examples = self._training.examples
        self._require_examples(weights)
        self._all_N = self._examples.held_out(seed=seed)
        self._turns = 0
        self._together = MOST_PATHS if self._space.nested else 1
        self._require_memory()
        describe: Callable[[], dict[str, Any]] = getattr(space, "describe", dict)
        self._description = json.dumps(describe(), sort_keys=True)

    def _require_examples(self, weights: WeightOptions) -> None:
        images = isinstance(self._data, ImageData)
        self.require_steps(weights.passes)
        # The first word of a text is not predicted.
        known = self._data.val_count if images else self._data.val_count - 1
        if weights.score_images is not None and weights.score_images > known:
            raise ConfigError(
                f"score_images is {weights.score_images}, and there are {known} validation {self._unit}s; give at "
                f"most so many, or leave out --score-images"
            )

    def _require_memory(self) -> None:
        """ConfigError where not even networks of one layer fit in the smallest batches: every path would fail."""
        generator = torch.Generator().manual_seed(0)
        size = min(LEAST_BATCH, self._recipe.batch_size)
        seen: set[Path] = set()
        least = math.inf
        for _ in range(MOST_DRAWN):
            path = random_path(self._space, 1, generator).path
            if path not in seen:
                seen.add(path)
                least = min(least, self._cost(path).train_bytes(size))
            if least <= self._memory_bytes:
                return
        mib = 2**20
        raise ConfigError(
            f"a supernet does not fit into memory: a network of one layer is estimated to take {least / mib:,.1f} MiB "
            f"in batches of {size} {self._unit}s, and trainings may use {self._memory_bytes / mib:,.1f}; give smaller "
            f"images (--image-size) or networks (--channels, --width, --cells, --hidden)"
        )

    @property
    def _unit(self) -> str:
        return "image" if isinstance(self._data, ImageData) else "word"

    def steps(self, passes: float) -> int:
        """The steps of so many passes over the training examples, rounded."""
        return self._training.steps(passes)

    def require_steps(self, passes: float) -> None:
        """ConfigError where so many passes are no step at all: the supernet would score as it was made."""
        if not self.steps(passes):
            batch = f"a batch of {self._recipe.batch_size}" if isinstance(self._data, ImageData) else "a step"
            raise ConfigError(
                f"passes is {passes:g}, and of {count_of(self._data.train_count, f'training {self._unit}')} that is "
                f"less than half {batch}; give {1 / self._examples.epoch_steps:.2g} or more (--passes, or --prior "
                f"shared:PASSES), or a smaller --batch-size"
            )

    def evaluate(self, paths: Sequence[Path], *, budget: Budget, seed: int) -> list[PathEvaluation]:
        """One evaluation a path, in order: of a turn of training, and then of scores. The budget plays no part."""
        started = time.perf_counter()
        failures = self._train(paths, steps=self._training.steps(self._weights.passes), seed=seed)
        self._turns += 1
        few = self._weights.score_images
        held_out = self._all_N if few is None else self._examples.held_out(seed=seed, few=few)
        evaluations = self._scores(paths, failures, held_out)
        seconds = (time.perf_counter() - started) / max(1, len(paths))
        return [replace(evaluation, train_seconds=seconds) for evaluation in evaluations]

    def rescore(self, paths: Sequence[Path]) -> list[PathEvaluation]:
        """One evaluation a path, with the weights as they are, on all validation images; nothing is trained."""
        return self._scores(paths, {}, self._all_N)

    def _train(self, paths: Sequence[Path], *, steps: int, seed: int) -> dict[Path, Failure]:
        """Train the paths in turn, one a minibatch; a path that fails is left out from then on."""
        failures: dict[Path, Failure] = {}
        with self._prepared(paths, seed=seed):
            for step, (inputs, labels_B) in enumerate(islice(self._training.batches(seed=seed), steps)):
                left = [path for path in paths if path not in failures]
                if not left:
                    break
                path = left[step % len(left)]
                failure = self._step(path, inputs, labels_B, self._rate())
                if failure is not None:
                    failures[path] = failure
        return failures

    def _rate(self) -> float:
        """The learning rate of the next step of a turn: constant, or a cosine of the passes so far, again and again."""
        own, peak = self._weights, self._recipe.learning_rate
        if own.restart_passes is None:
            return peak
        return cosine(
            self._training.passes,
            peak=peak,
            lowest=own.lowest_rate,
            first=own.restart_passes,
            factor=own.restart_factor,
        )

    def prepare(
        self,
        passes: float,
        *,
        seed: int,
        paths: Iterator[Path] | None = None,
        rate: float | None = None,
        done: int = 0,
        on_pass: Callable[[int], None] = lambda number: None,
    ) -> None:
        """Train the supernet on other paths first, for so many passes: one turn, a new path a minibatch.

        They are random ones, as deep as the space, where none are given, and it ends where these end. The learning rate
        rises to `rate` and falls to 0, where scores are best; None: to SHARED_RATE, or that of the recipe on text. A
        step that fails is left out.

        `on_pass` is told how many passes are done after each. What a pass does depends on the seed, on its number, on
        its paths and on the state alone, so that another evaluator that has loaded the state goes on from so many
        `done`. ConfigError where the passes are no step at all.
        """
        self.require_steps(passes)
        usual = SHARED_RATE if isinstance(self._data, ImageData) else self._recipe.learning_rate
        peak = usual if rate is None else rate
        generator = torch.Generator().manual_seed(seed)
        drawn = (random_path(self._space, self._space.max_layers, generator).path for _ in count())
        typical, paths = [next(drawn)], paths or drawn
        steps, a_pass = self._training.steps(passes), self._examples.epoch_steps
        for number in range(done, math.ceil(steps / a_pass)):
            places = range(number * a_pass, min((number + 1) * a_pass, steps))
            own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            taken = 0
            with self._prepared(typical, seed=own):
                # In this order: a pass that is done takes no path of the next one.
                for step, (inputs, labels_B), path in zip(
                    places, self._training.batches(seed=own), paths, strict=False
                ):
                    self._step(path, inputs, labels_B, one_cycle(step, steps, peak=peak))
                    taken += 1
            if taken < len(places):
                break
            on_pass(number + 1)
        self._turns += 1

    def _step(self, path: Path, inputs: Tensor, labels_B: Tensor, rate: float) -> Failure | None:
        """One step; where memory does not suffice, several in smaller batches, at a rate that is as much lower."""
        failure, pieces = None, 1
        least = min(LEAST_BATCH, len(labels_B))
        while (size := len(labels_B) // pieces) >= least:
            failure = self._too_large(path, size) or self._in_pieces(path, inputs, labels_B, pieces, rate)
            if failure is None or failure.kind != "out_of_memory":
                break
            release_memory(self._device)
            pieces *= 2
        return failure

    def _too_large(self, path: Path, size: int) -> Failure | None:
        """Why memory is estimated not to suffice, if so."""
        supernet, allowed = self._training.supernet.nbytes, self._memory_bytes
        if supernet + self._cost(path).train_bytes(size) <= allowed:
            return None
        mib = 2**20
        return Failure(
            "out_of_memory",
            f"batches of {size} {self._unit}s are estimated not to fit: trainings may use {allowed / mib:.0f} MiB, of "
            f"which the supernet takes {supernet / mib:.0f}",
        )

    def _in_pieces(self, path: Path, inputs: Tensor, labels_B: Tensor, pieces: int, rate: float) -> Failure | None:
        parts = self._examples.pieces(inputs, labels_B, pieces)
        try:
            for own, own_B in parts:
                if not self._training.step(path, own, own_B, rate=rate, share=1.0 / len(parts)):
                    return Failure("diverged", "the training loss or a gradient became infinite")
        except SpaceError:
            raise
        except Exception as error:
            return failure_of(error)
        return None

    def _scores(
        self, paths: Sequence[Path], failures: Mapping[Path, Failure], held_out: Tensor
    ) -> list[PathEvaluation]:
        """The evaluations of the paths, of which some have failed already."""
        failed, accuracies = dict(failures), dict[Path, float]()
        scored = {path for path in paths if path not in failed}
        if not self._space.nested and not self._whole:
            scored.update(prefixes(scored))
        # In the order of a walk through their trie, so that neighbours share most.
        waiting = deque(_parts(sorted(scored), most=self._together))
        with self._prepared(paths, seed=0), self._training.supernet.unchanged():
            while waiting:
                together = waiting.popleft()
                outcome = self._score(together, held_out)
                if not isinstance(outcome, Failure):
                    accuracies |= outcome
                    continue
                if outcome.node is None and len(together) > 1:
                    waiting.extendleft(reversed(_parts(together, most=math.ceil(len(together) / 2))))
                    continue
                at_fault = [path for path in together if outcome.node is None or _begins(path, outcome.node)]
                failed |= dict.fromkeys(at_fault, outcome)
                if rest := [path for path in together if path not in failed]:
                    waiting.appendleft(rest)
        return self._evaluations(paths, accuracies, failed)

    def _score(self, paths: Sequence[Path], held_out: Tensor) -> dict[Path, float] | Failure:
        """The accuracies of the prefixes that have heads in the network of these paths."""
        size = min(SCORE_BATCH, len(held_out))
        while True:
            try:
                network, accuracies = self._training.accuracies(paths, held_out, batch_size=size)
                return dict(zip(network.prefixes, accuracies, strict=True))
            except SpaceError:
                raise
            except Diverged as error:
                return Failure("diverged", str(error))
            except Exception as error:
                failure = failure_of(error)
            if failure.kind != "out_of_memory" or size <= LEAST_BATCH:
                return failure
            release_memory(self._device)
            size //= 2

    def _evaluations(
        self, paths: Sequence[Path], accuracies: Mapping[Path, float], failures: Mapping[Path, Failure]
    ) -> list[PathEvaluation]:
        """One evaluation a path. What an earlier path also reports is `shared`."""
        evaluations = []
        reported: set[Path] = set()
        for path in paths:
            every = [path[:depth] for depth in range(1, len(path) + 1)]
            # With whole cells the network of a prefix is another one, whose failure is its own.
            own = [path] if self._whole else every
            failure = next((failures[prefix] for prefix in own if prefix in failures), None)
            measured = [accuracies.get(prefix) if prefix == path or not self._whole else None for prefix in every]
            shared = 0
            if failure is None:
                shared = len(path) if path in reported else sum(prefix in reported for prefix in own)
                reported.update(own)
            evaluations.append(
                PathEvaluation(
                    [] if failure else measured,
                    failure=failure.kind if failure else None,
                    failure_text=failure.text if failure else "",
                    # The supernet is also asked for scores before its first turn.
                    epochs=max(1, self._turns),
                    shared=shared,
                )
            )
        return evaluations

    @contextmanager
    def _prepared(self, paths: Sequence[Path], *, seed: int) -> Iterator[None]:
        """The device, the threads and the random numbers that layers draw, which are left as they were."""
        device = self._device
        flops = max((self._cost(path).flops for path in paths), default=0)
        with (
            using(self._threads.number(flops * self._recipe.step_units)),
            on(device),
            whole_float32(device),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            torch.manual_seed(seed)
            yield

    def _cost(self, path: Path) -> TrieCost:
        if not self._space.nested:
            graph = self._space.network(path)
            return TrieCost(graph.params, graph.flops, graph.activations)
        return trie_cost(require_graphs(self._space), [path], hidden=0)

    def state_dict(self) -> dict[str, Any]:
        """All that later turns and scores depend on: plain values and the tensors in use."""
        return {
            "format": STATE_FORMAT,
            "space": self._description,
            "device": self._device.type,
            "turns": self._turns,
            "training": self._training.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict; ValueError for the state of another space or kind of device."""
        found = state.get("format"), state.get("space"), state.get("device")
        for what, own, other in zip(
            ("format", "space", "device"), (STATE_FORMAT, self._description, self._device.type), found, strict=True
        ):
            if own != other:
                raise ValueError(f"the state of a supernet has {what} {other!r:.200}, and this has {own!r:.200}")
        self._training.load_state_dict(state["training"])
        self._turns = int(state["turns"])


def _require_fall(weights: WeightOptions, *, peak: float) -> None:
    """ConfigError where the rate would rise to the lowest one."""
    if weights.restart_passes is not None and weights.lowest_rate > peak:
        raise ConfigError(
            f"lowest_rate is {weights.lowest_rate:g}, over the peak of {peak:g}; give a lower one (--lowest-rate), or "
            f"a higher --learning-rate"
        )


def _parts(paths: Sequence[Path], *, most: int) -> list[Sequence[Path]]:
    return [paths[start : start + most] for start in range(0, len(paths), most)]


def _begins(path: Path, prefix: Path) -> bool:
    return path[: len(prefix)] == prefix
