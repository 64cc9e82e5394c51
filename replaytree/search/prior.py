"""A prior from a supernet: trained on random paths for a while, it scores some thousand of them.

Its scores are a coarse filter and no judge (reports/benchmarks/prior.md), which is what a prior is for: `guided` and
`replay` begin where it is good, and weigh it less with every training of their own (policy/memory.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import torch

from replaytree.config import SearchConfig
from replaytree.config.weights import WeightOptions
from replaytree.data import Data
from replaytree.errors import ConfigError
from replaytree.evaluate import SharedEvaluator
from replaytree.policy.random_search import random_path
from replaytree.records import BudgetSums, NodeStats, Path, Space
from replaytree.search.unfinished_prior import UnfinishedPrior
from replaytree.training import Recipe, Threads, resolve_device

# A nested space scores all prefixes of paths together; in others each prefix is a validation pass of its own.
NESTED_PATHS = 2000
OTHER_PATHS = 300
AT_ONCE = 100
# Seconds.
TELL_EVERY = 5.0

_log = logging.getLogger("replaytree")


def require_prior(config: SearchConfig, space: Space, data: Data | None) -> None:
    """ConfigError or SpaceError where no supernet can be trained for a prior, before anything is stored."""
    if config.prior_passes is None:
        return
    if data is None:
        raise ConfigError(
            "prior is a supernet's, which is trained on data, and this search has none; leave out --prior"
        )
    _supernet(config, space, data)


def random_paths(space: Space) -> int:
    """How many random paths are scored, at most."""
    return NESTED_PATHS if is_nested(space) else OTHER_PATHS


def is_nested(space: Space) -> bool:
    """Whether a path is scored together with its prefixes."""
    return bool(getattr(space, "nested", False))


def shared_prior(
    config: SearchConfig,
    space: Space,
    whole: Space,
    data: Data,
    *,
    is_stopped: Callable[[], bool],
    unfinished: UnfinishedPrior,
) -> list[NodeStats] | None:
    """What a supernet says of the prefixes of random paths; None where `is_stopped` said so. The seed decides all.

    `space` has the limits on cost within which paths are drawn, `whole` has none. How far it is is kept in
    `unfinished`, from where it goes on to the same prior.
    """
    making = _Making(config, space, whole, data, is_stopped=is_stopped, unfinished=unfinished)
    if not (making.train() and making.score()):
        return None
    return _nodes(making.scores, epochs=config.budget.epochs_last)


def name_of(config: SearchConfig) -> str:
    """What tells a search's prior from that of other options; data and space are told apart elsewhere."""
    return f"{config.prior}, seed {config.seed}, {config.space.max_layers} layers"


class _Making:
    """A prior in the making: passes done, then random paths drawn, and those of them that are scored."""

    def __init__(
        self,
        config: SearchConfig,
        space: Space,
        whole: Space,
        data: Data,
        *,
        is_stopped: Callable[[], bool],
        unfinished: UnfinishedPrior,
    ) -> None:
        assert config.prior_passes is not None, "a prior was asked for"
        self._seed, self._passes = config.seed, config.prior_passes
        self._space = space
        self._supernet = _supernet(config, whole, data)
        self._many = random_paths(whole)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._is_stopped = is_stopped
        self._unfinished = unfinished
        self._done = 0
        self.scores: dict[Path, float] = {}
        self._scored = 0
        if (state := unfinished.load()) is not None:
            self._go_on(state)

    def train(self) -> bool:
        """Train the supernet for all passes; False where it was stopped."""
        steps = self._supernet.steps(self._passes)
        first = self._supernet.steps(min(self._done, self._passes))
        told = _Telling(f"the supernet of the prior is trained for {self._passes:g} passes", first / steps)
        is_whole = True

        def paths() -> Iterator[Path]:
            nonlocal is_whole
            for step in count(first):
                if self._is_stopped():
                    is_whole = False
                    return
                told.share(step / steps)
                yield random_path(self._space, self._space.max_layers, self._generator).path

        self._supernet.prepare(self._passes, seed=self._seed, paths=paths(), done=self._done, on_pass=self._trained)
        return is_whole

    def _trained(self, passes: int) -> None:
        self._done = passes
        self._unfinished.keep(self._state, now=passes >= self._passes)

    def score(self) -> bool:
        """Score random paths; False where it was stopped."""
        before = self._generator.get_state()
        drawn = _drawn(self._space, self._many, self._generator)
        # What is kept is of before they were drawn.
        self._generator.set_state(before)
        told = _Telling(f"the supernet of the prior scores {len(drawn)} random paths", self._scored / len(drawn))
        for start in range(self._scored, len(drawn), AT_ONCE):
            if self._is_stopped():
                return False
            told.share(start / len(drawn))
            some = drawn[start : start + AT_ONCE]
            for path, evaluation in zip(some, self._supernet.rescore(some), strict=True):
                measured = zip(prefixes_of(path), evaluation.accuracies, strict=False)
                self.scores |= {prefix: accuracy for prefix, accuracy in measured if accuracy is not None}
            self._scored = start + len(some)
            self._unfinished.keep(self._state)
        return True

    def _state(self) -> dict[str, Any]:
        return {
            "passes": self._done,
            "supernet": self._supernet.state_dict(),
            "generator": self._generator.get_state(),
            "scored": self._scored,
            "paths": [list(path) for path in self.scores],
            "scores": list(self.scores.values()),
        }

    def _go_on(self, state: Mapping[str, Any]) -> None:
        """Take up what was kept; what is of another device or other layers is left where it is."""
        try:
            self._supernet.load_state_dict(state["supernet"])
        except ValueError as error:
            _log.warning("the prior begins anew: %s", error)
            return
        self._generator.set_state(state["generator"])
        self._done, self._scored = int(state["passes"]), int(state["scored"])
        self.scores = {tuple(path): score for path, score in zip(state["paths"], state["scores"], strict=True)}


def prefixes_of(path: Path) -> Iterator[Path]:
    """The path's prefixes, the shortest first."""
    return (path[:depth] for depth in range(1, len(path) + 1))


def _nodes(scores: dict[Path, float], *, epochs: int) -> list[NodeStats]:
    """The prefixes whose own prefixes were all scored, each as one training at the full budget."""
    known = {()} | scores.keys()
    whole = [path for path in sorted(scores, key=lambda path: (len(path), path)) if known >= set(prefixes_of(path))]
    return [NodeStats(path, 0, (BudgetSums(epochs, 1, scores[path]),)) for path in whole]


def _drawn(space: Space, count: int, generator: torch.Generator) -> Sequence[Path]:
    """Different random paths, fewer where a space has few. In order of a walk, so that neighbours share prefixes."""
    drawn = {random_path(space, space.max_layers, generator).path for _ in range(count)}
    return sorted(drawn)


def _supernet(config: SearchConfig, space: Space, data: Data) -> SharedEvaluator:
    passes = config.prior_passes
    assert passes is not None, "a prior was asked for"
    return SharedEvaluator(
        space,
        data,
        recipe=Recipe.of(config, data),
        device=resolve_device(config.machine.device),
        weights=WeightOptions(weights="shared", passes=passes),
        seed=config.seed,
        evaluator="joint" if is_nested(space) else "separate",
        threads=Threads.of(config.machine.threads),
    )


class _Telling:
    """Says now and then how far something is, of which the share `first` was done before."""

    def __init__(self, what: str, first: float) -> None:
        self._what = what
        self._first = first
        self._began = self._told = time.monotonic()
        _log.info("%s%s", what, f", of which {first:.0%} is done" if first else "")

    def share(self, done: float) -> None:
        """`done` of it, in [0, 1)."""
        now = time.monotonic()
        if done == self._first or now - self._told < TELL_EVERY:
            return
        self._told = now
        left = (now - self._began) * (1.0 - done) / (done - self._first)
        _log.info("%s: %.0f %%, %.0f s left", self._what, 100 * done, left)
