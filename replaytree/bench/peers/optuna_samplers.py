"""Optuna's samplers: one categorical parameter a decision, the accuracy of the whole path as the value of a trial."""

from __future__ import annotations

import warnings
from typing import Any

import optuna

from replaytree.bench.peers.peer import Paths
from replaytree.records import Path, Space
from replaytree.space.coding import Values, allows, decode, encode, ended


class OptunaPeer:
    """A peer (peer.py). The random starts are trials of the study like all others."""

    def __init__(self, space: Space, sampler: Any, *, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        for path in Paths(space, seed=seed).starts:
            self._study.enqueue_trial(self._parameters(path))

    def propose(self) -> Path:
        """What the sampler suggests."""
        self._trial = self._study.ask()
        return self._suggested()

    def observe(self, path: Path, accuracy: float) -> None:
        """Tell the study."""
        self._study.tell(self._trial, accuracy)

    def _parameters(self, path: Path) -> dict[str, int]:
        """What a sampler would suggest for this path."""
        found: dict[str, int] = {}
        for t, action in enumerate(path):
            decisions = self._space.decisions(t + 1)
            values = decode(decisions, action)
            found |= {f"{decision.name}{t}": value for decision, value in zip(decisions, values, strict=True)}
        return found

    def _suggested(self) -> Path:
        """The path of a trial; it ends before what is illegal."""
        path: Path = ()
        while not ended(self._space, path):
            decisions = self._space.decisions(len(path) + 1)
            chosen: Values = ()
            for decision in decisions:
                name = f"{decision.name}{len(path)}"
                value = self._trial.suggest_categorical(name, list(range(decision.size)))
                if not allows(decision, self._space.legal(path, chosen), value):
                    return path
                chosen = (*chosen, value)
            path = (*path, encode(decisions, chosen))
        return path


def tpe(space: Space, *, seed: int) -> OptunaPeer:
    """The tree-structured Parzen estimator over all parameters together, grouped by the trials that have them."""
    with warnings.catch_warnings():
        # Optuna calls `group` experimental, and warns of that for every sampler.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
    return OptunaPeer(space, sampler, seed=seed)


def gp(space: Space, *, seed: int) -> OptunaPeer:
    """Optuna's own Gaussian process."""
    return OptunaPeer(space, optuna.samplers.GPSampler(seed=seed), seed=seed)
