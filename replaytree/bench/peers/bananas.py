"""BANANAS (White, Neiswanger and Savani, AAAI 2021): an ensemble of networks, Thompson sampling, mutants of the best.

Its path encoding has a feature for every way of operations from the input of a cell to the output. A chain has one such
way, so that the features here are the options by place, and the pairs of options in layers that follow each other. As
in the paper: ten random starts, five networks, independent Thompson sampling (each candidate has a draw of its own from
its mean and deviation), and rounds of ten paths by one ensemble. Networks are scikit-learn's.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from replaytree.bench.peers.encoding import Encoding
from replaytree.bench.peers.peer import Paths, Trained
from replaytree.policy.normal_scores import NormalScores
from replaytree.records import Path, Space

MEMBERS = 5
ROUND = 10
EPOCHS = 200
HIDDEN = (20, 20, 20)


class Bananas:
    """A peer (peer.py)."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self._paths = Paths(space, seed=seed)
        self._encoding = Encoding(space)
        self._trained = Trained()
        self._draws = np.random.default_rng(seed)
        self._queue = self._paths.starts[::-1]

    def propose(self) -> Path:
        """A start, or the next path of the round."""
        if not self._queue:
            self._queue = self._round()
        return self._queue.pop()

    def observe(self, path: Path, accuracy: float) -> None:
        """One more training."""
        self._trained.add(path, accuracy)

    def _round(self) -> list[Path]:
        """The paths whose draws are best, the best last."""
        means = self._trained.means()
        accuracies = np.array(list(means.values()))
        targets = NormalScores(accuracies).scores(accuracies)
        known_NF = self._encoding.runs_of(list(means))
        candidates = self._paths.candidates(means)
        new_NF = self._encoding.runs_of(candidates)
        predicted = []
        for _ in range(MEMBERS):
            network = MLPRegressor(
                hidden_layer_sizes=HIDDEN,
                learning_rate_init=0.01,
                max_iter=EPOCHS,
                random_state=int(self._draws.integers(2**31)),
            )
            with warnings.catch_warnings():
                # All of its epochs are wanted.
                warnings.simplefilter("ignore", ConvergenceWarning)
                predicted.append(network.fit(known_NF, targets).predict(new_NF))
        predicted_MN = np.stack(predicted)
        drawn_N = self._draws.normal(predicted_MN.mean(axis=0), predicted_MN.std(axis=0))
        return [candidates[n] for n in np.argsort(drawn_N)[-ROUND:]]
