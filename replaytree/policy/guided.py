"""The guided replay tree: a value model of the tree ranks many candidate paths, and the most promising one is trained.

1. The first `warmup` paths are uniformly random. Where the memory has a prior (memory.py) there is no warm-up: a value
   model of the prior ranks candidates from the start (prior_values.py).
2. A Gaussian process is fitted to the nodes of the tree (value_model.py).
3. Candidates: most are mutants of the ten prefixes that it values most, with one decision changed; the others are
   random. Both are completed at random.
   Where trainings do not measure the prefixes of their path, only whole paths count in what follows.
4. The candidate is trained whose best new prefix has the most expected improvement over the best known one (Mockus,
   1978; Jones, Schonlau and Welch, 1998). `exploration` multiplies the deviations.
5. Paths that are still being trained count as measured, with the values that are predicted of them.
6. At most one training in four repeats a prefix. It does so where repeating is expected to gain more than the best
   candidate (knowledge gradient; Frazier, Powell and Dayanik, 2008). That is the case where noise hides which of the
   known prefixes is best.

What each choice is worth is measured in reports/benchmarks/strategies.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr

from replaytree import metric
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.metric import Metric
from replaytree.policy.evolution import mutant
from replaytree.policy.features import Array
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.prior_values import PriorValues
from replaytree.policy.random_search import random_path
from replaytree.policy.strategy import PolicyUpdate
from replaytree.policy.value_model import Predicted, ValueModel
from replaytree.records import NodeStats, Path, PathEvaluation, Proposal, Space
from replaytree.space.network import task_of

PARENTS = 10
LEADERS = 16
# In joint trainings a shallow prefix reads differently under every tail. That looks like noise, and without this limit
# most trainings on small pictures were repetitions.
RETRAIN_EVERY = 4
RANDOM_DRAWS = 20
# Averages of equal numbers differ in their last bits; that is no noise.
LEAST_NOISE = 1e-12
LEAST_DEVIATION = 1e-9
TINY = 1e-300
# Scores and gains that differ by less are equal but for rounding, which differs from machine to machine.
DIGITS = 9


class GuidedStrategy:
    """See above. `candidates`, `mutants` and `warmup` are its options."""

    def __init__(self, space: Space, options: GuidedOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        # The warm-up is the beginning of random search with this seed: comparisons are paired.
        self._generator = torch.Generator().manual_seed(seed)
        self._values = ValueModel(space)
        self._nodes = NodeTable(space.max_layers)
        self._prior: PriorValues | None = None
        self._proposed = 0
        self._metric = metric.of(task_of(space))
        self._noise = Noise(self._metric)

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """`num_paths` paths to train, different from one another and from the pending ones."""
        proposals: list[Proposal] = []
        warmup = self._options.warmup if memory.prior is None else 0
        taken = dict.fromkeys(prefix for path in pending for prefix in _measured(memory, path))
        if self._proposed + num_paths > warmup and not memory.is_empty:
            if memory.prior is not None and self._prior is None:
                self._prior = PriorValues(memory.prior, self._space)
            self._nodes.take_in(memory)
            self._values.fit(self._nodes)
            self._values.believe(list(taken), epochs=epochs)
        for _ in range(num_paths):
            if self._proposed < warmup or memory.is_empty:
                proposal = self._random(depth_bound, taken)
            else:
                proposal = self._guided(memory, depth_bound, epochs, taken)
            self._proposed += 1
            proposals.append(proposal)
            new = [prefix for prefix in _measured(memory, proposal.path) if prefix not in taken]
            taken |= dict.fromkeys(new)
            if len(proposals) < num_paths:
                self._values.believe(new, epochs=epochs)
        return proposals

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Record how far repeated trainings differ. The value model learns from the tree at the next proposal."""
        for proposal, evaluation in zip(proposals, evaluations, strict=True):
            # A copy of another path's training is not a repetition.
            for t, accuracy in list(enumerate(evaluation.accuracies))[evaluation.shared :]:
                if accuracy is not None:
                    self._noise.add(accuracy, memory.get(proposal.path[: t + 1]))
        return PolicyUpdate()

    def state_dict(self) -> dict[str, Any]:
        """Value model, noise, count and generator."""
        return {
            "model": self._values.state(),
            "noise": [self._noise.total, self._noise.count],
            "proposed": self._proposed,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict. A state of the networks that were once the model leaves the model at its start."""
        if "model" in state:
            self._values.load_state(state["model"])
        self._noise.total, self._noise.count = state["noise"]
        self._proposed = state["proposed"]
        self._generator.set_state(state["generator"])

    def _random(self, depth_bound: int, taken: Mapping[Path, None]) -> Proposal:
        """A random path, and one that is taken only where RANDOM_DRAWS draws gave no other."""
        for _ in range(RANDOM_DRAWS):
            proposal = random_path(self._space, depth_bound, self._generator)
            if proposal.path not in taken:
                break
        return proposal

    def _guided(self, memory: ReplayMemory, depth_bound: int, epochs: int, taken: Mapping[Path, None]) -> Proposal:
        """`taken` are the prefixes that are being measured already: training them once more gains nothing."""
        known = list(dict.fromkeys(self._values.paths + (self._prior.paths if self._prior else [])))
        known_K = self._predicted(memory, known, epochs).mean
        parents = [known[k] for k in np.argsort(-known_K.round(DIGITS), kind="stable")[:PARENTS]]
        best = max(
            (float(mean) for path, mean in zip(known, known_K, strict=True) if _is_known(memory, path, epochs)),
            default=0.0,
        )
        candidates = self._candidates(parents, depth_bound)
        new_C = [
            [p for p in _measured(memory, c.path) if p not in taken and not _is_known(memory, p, epochs)]
            for c in candidates
        ]
        new = list(dict.fromkeys(prefix for each in new_C for prefix in each))
        gains = dict(zip(new, self._gains(self._predicted(memory, new, epochs), best), strict=True))
        gains_C = [max((gains[prefix] for prefix in each), default=-1.0) for each in new_C]
        again = self._retraining(epochs, max(gains_C), taken)
        if again is not None:
            # A leader below the depth bound is trained as the beginning of a longer path, which measures new prefixes.
            bound = depth_bound if memory.measures_prefixes else len(again)
            return replace(random_path(self._space, bound, self._generator, prefix=again), source="continue")
        if max(gains_C) < 0.0:
            return self._random(depth_bound, taken)
        return candidates[int(np.argmax(np.divide(gains_C, max(*gains_C, TINY)).round(DIGITS)))]

    def _predicted(self, memory: ReplayMemory, prefixes: Sequence[Path], epochs: int) -> Predicted:
        """By the model of this search, mixed with that of a prior."""
        own = self._values.predicted(prefixes, epochs=epochs)
        return own if self._prior is None else self._prior.mixed(own, prefixes, epochs=epochs, share=memory.prior_share)

    def _candidates(self, parents: Sequence[Path], depth_bound: int) -> list[Proposal]:
        """Different paths: first the mutants, those of the best parents before others, then random ones."""
        candidates: dict[Path, Proposal] = {}
        mutants = round(self._options.candidates * self._options.mutants)
        for c in range(self._options.candidates):
            child: Path = ()
            if c < mutants:
                child = mutant(self._space, parents[c % len(parents)][:depth_bound], self._generator)
            proposal = random_path(self._space, depth_bound, self._generator, prefix=child)
            candidates.setdefault(proposal.path, replace(proposal, source="continue" if child else "sample"))
        return list(candidates.values())

    def _gains(self, predicted: Predicted, best: float) -> Array:
        """(N): E max(0, score - best) of normal scores: s (z Phi(z) + phi(z)), z = (mean - best) / s."""
        deviation_N = np.maximum(predicted.deviation * self._options.exploration, LEAST_DEVIATION)
        z_N = (predicted.mean - best) / deviation_N
        gains_N: Array = deviation_N * (z_N * ndtr(z_N) + np.exp(-0.5 * z_N**2) / math.sqrt(2.0 * math.pi))
        return gains_N

    def _retraining(self, epochs: int, gain: float, taken: Mapping[Path, None]) -> Path | None:
        """The leader worth training once more, if that is expected to gain more than the best candidate, `gain`."""
        variance = self._noise.variance
        if variance < LEAST_NOISE or self._proposed % RETRAIN_EVERY:
            return None
        leaders = self._nodes.leaders(epochs, LEADERS)
        if len(leaders) < 2:
            return None
        means = [self._metric.value(leader.average_accuracy) for leader in leaders]
        gains = []
        for n, leader in enumerate(leaders):
            rival = max(means[:n] + means[n + 1 :])
            gains.append(knowledge_gradient(means[n] - rival, variance / leader.count, variance))
        best = max(range(len(leaders)), key=gains.__getitem__)
        path = leaders[best].path
        return path if gains[best] > gain * self._values.unit and path not in taken else None


class Noise:
    """The variance of single trainings in value, pooled over all prefixes that were trained more than once.

    A new value v of a prefix with n earlier values of mean m adds (v - m)^2 n / (n + 1), whose expectation is that
    variance.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self.total, self.count = 0.0, 0

    def add(self, accuracy: float, before: NodeStats | None) -> None:
        """One more training of a prefix; `before` is its node before it."""
        if before is None or not before.budgets:
            return
        sums = before.budgets[-1]
        if sums.evaluation_count and sums.average_accuracy is not None:
            n = sums.evaluation_count
            value = self._metric.value
            self.total += (value(accuracy) - value(sums.average_accuracy)) ** 2 * n / (n + 1)
            self.count += 1

    @property
    def variance(self) -> float:
        """The estimate; 0 while nothing was trained twice."""
        return self.total / self.count if self.count else 0.0


def knowledge_gradient(lead: float, variance: float, noise: float) -> float:
    """Expected gain of the best mean from one more training (Frazier et al., 2008, equation 4.12).

    `lead` is this mean less the best of the others, `variance` that of this mean, `noise` that of one training.
    sigma~ = variance / sqrt(variance + noise); gain = sigma~ f(-|lead| / sigma~), f(z) = z Phi(z) + phi(z).
    """
    if variance <= 0.0:
        return 0.0
    spread = variance / math.sqrt(variance + noise)
    z = -abs(lead) / spread
    return spread * (z * 0.5 * math.erfc(-z / math.sqrt(2.0)) + math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi))


def _measured(memory: ReplayMemory, path: Path) -> list[Path]:
    """The prefixes that a training of a path measures, by all that is known of the evaluator."""
    return [path[:t] for t in range(1, len(path) + 1)] if memory.measures_prefixes else [path]


def _is_known(memory: ReplayMemory, prefix: Path, epochs: int) -> bool:
    """Whether a training of a prefix would tell nothing new: it was measured at this budget, or has failed."""
    node = memory.get(prefix)
    if node is None:
        return False
    if not node.evaluation_count:
        return memory.measures_prefixes or memory.is_tried(prefix)
    return any(sums.epochs >= epochs and sums.evaluation_count for sums in node.budgets)
