"""A prior from a supernet: trained on random paths for a while, it scores some thousand of them.

Its scores are a coarse filter and no judge (reports/benchmarks/prior.md), which is what a prior is for: `guided` and
`replay` begin where it is good, and weigh it less with every training of their own (policy/memory.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from replaytree.config import SearchConfig
from replaytree.config.weights import WeightOptions
from replaytree.data import Data
from replaytree.errors import ConfigError
from replaytree.evaluate import SharedEvaluator
from replaytree.policy.random_search import random_path
from replaytree.records import BudgetSums, NodeStats, Path, Space
from replaytree.training import Recipe, Threads, resolve_device

# A nested space scores all prefixes of paths together; in others each prefix is a validation pass of its own.
NESTED_PATHS = 2000
OTHER_PATHS = 300
AT_ONCE = 100
TELL_EVERY = 0.1

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


def shared_prior(
    config: SearchConfig, space: Space, whole: Space, data: Data, *, is_stopped: Callable[[], bool]
) -> list[NodeStats] | None:
    """What a supernet says of the prefixes of random paths; None where `is_stopped` said so. The seed decides all.

    `space` has the limits on cost within which paths are drawn, `whole` has none.
    """
    passes = config.prior_passes
    assert passes is not None, "a prior was asked for"
    supernet = _supernet(config, whole, data)
    generator = torch.Generator().manual_seed(config.seed)
    steps = max(1, supernet.steps(passes))
    told = _Telling(f"the supernet of the prior is trained for {passes:g} passes")

    def paths() -> Iterator[Path]:
        for step in range(steps):
            if is_stopped():
                return
            told.share(step / steps)
            yield random_path(space, space.max_layers, generator).path

    supernet.prepare(passes, seed=config.seed, paths=paths())
    drawn = _drawn(space, NESTED_PATHS if getattr(whole, "nested", False) else OTHER_PATHS, generator)
    told = _Telling(f"the supernet of the prior scores {len(drawn)} random paths")
    scores: dict[Path, float] = {}
    for start in range(0, len(drawn), AT_ONCE):
        if is_stopped():
            return None
        told.share(start / len(drawn))
        some = drawn[start : start + AT_ONCE]
        for path, evaluation in zip(some, supernet.rescore(some), strict=True):
            measured = zip(prefixes_of(path), evaluation.accuracies, strict=False)
            scores |= {prefix: accuracy for prefix, accuracy in measured if accuracy is not None}
    return _nodes(scores, epochs=config.budget.epochs_last)


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
    return SharedEvaluator(
        space,
        data,
        recipe=Recipe.of(config, data),
        device=resolve_device(config.machine.device),
        weights=WeightOptions(weights="shared"),
        seed=config.seed,
        evaluator="joint" if getattr(space, "nested", False) else "separate",
        threads=Threads.of(config.machine.threads),
    )


class _Telling:
    """Says now and then how far something is."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._next = 0.0

    def share(self, done: float) -> None:
        """`done` of it, in [0, 1)."""
        if done < self._next:
            return
        self._next = done + TELL_EVERY
        left = (time.monotonic() - self._began) * (1.0 - done) / done if done else None
        _log.info("%s: %.0f %%%s", self._what, 100 * done, "" if left is None else f", {left:.0f} s left")
