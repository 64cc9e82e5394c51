"""The guided replay tree: a value model of the tree ranks many candidate paths, and the most promising one is trained.

1. The first `warmup` paths are uniformly random. Where the memory has a prior (memory.py) there is no warm-up: a value
   model of the prior ranks candidates from the start (prior_values.py).
2. A value ensemble is fitted to all nodes of the tree (value_model.py).
3. Candidates: a quarter start at the root. A quarter start at a prefix of the tree, drawn by a softmax over average
   accuracy and cut at a random depth. The controller completes both, mixed with a tenth of uniform choice. The other
   half are mutants: paths drawn in the same way with one decision changed. A cut prefix loses the good layers behind
   the cut; a mutant keeps them.
   Where trainings do not measure the prefixes of their path, only whole paths count in what follows.
4. Thompson sampling (Thompson, 1933; with ensembles: Osband and Van Roy, 2015): one random member of the ensemble
   chooses the candidate whose best new prefix it values most. The members' deviations count twice (`exploration` times
   2).
5. At most one training in four repeats a path that is known to be good. It does so where repeating is expected to gain
   more than the best candidate (knowledge gradient; Frazier, Powell and Dayanik, 2008). That is the case where noise
   hides which of the known paths is best.
6. The controller is fitted to the best eighth of the candidates by the mean of the ensemble (cross-entropy method;
   Rubinstein, 1999).

After 25 trainings this has the least regret of all strategies on both tables. What each choice is worth is measured in
reports/benchmarks/strategies.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from replaytree import metric
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.metric import Metric
from replaytree.policy.controller import Controller, optimizer_of
from replaytree.policy.evolution import mutant
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.node_table import NodeTable
from replaytree.policy.prior_values import PriorValues
from replaytree.policy.random_search import random_path
from replaytree.policy.strategy import PolicyUpdate
from replaytree.policy.value_model import ValueEnsemble
from replaytree.records import NodeStats, Path, PathEvaluation, Proposal, Space
from replaytree.space.network import task_of

UNIFORM_SHARE = 0.1
ELITE_SHARE = 1 / 8
ENTROPY = 0.02
# Members that see the same examples agree more than their errors justify.
SPREAD = 2.0
LEADERS = 16
# In joint trainings a shallow prefix reads differently under every tail. That looks like noise, and without this limit
# most trainings on small pictures were repetitions.
RETRAIN_EVERY = 4
RANDOM_DRAWS = 20
# Averages of equal numbers differ in their last bits; that is no noise.
LEAST_NOISE = 1e-12


class GuidedStrategy:
    """See above. `candidates` and `warmup` are its options."""

    def __init__(self, space: Space, options: GuidedOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        self._controller = Controller(space, options.controller, generator=self._generator)
        self._optimizer = optimizer_of(self._controller, options.controller)
        self._values = ValueEnsemble(space, generator=self._generator, spread=SPREAD * options.exploration)
        # The warm-up is then the beginning of random search with this seed: comparisons are paired.
        self._generator.manual_seed(seed)
        self._nodes = NodeTable(space.max_layers)
        self._prior: PriorValues | None = None
        self._proposed = 0
        self._metric = metric.of(task_of(space))
        self._noise = Noise(self._metric)
        self._update = PolicyUpdate()

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """`num_paths` paths to train, different from one another and from the pending ones."""
        proposals = []
        warmup = self._options.warmup if memory.prior is None else 0
        if self._proposed + num_paths > warmup and not memory.is_unmeasured:
            self._nodes.take_in(memory)
            self._values.fit(self._nodes)
        taken = {prefix for path in pending for prefix in _measured(memory, path)}
        self._update = PolicyUpdate()
        for _ in range(num_paths):
            if self._proposed < warmup or memory.is_empty:
                proposal = self._random(depth_bound, taken)
            else:
                proposal = self._guided(memory, depth_bound, epochs, taken)
            self._proposed += 1
            taken.update(_measured(memory, proposal.path))
            proposals.append(proposal)
        return proposals

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Record how far repeated trainings differ. The models learn from the tree at the next proposal."""
        for proposal, evaluation in zip(proposals, evaluations, strict=True):
            # A copy of another path's training is not a repetition.
            for t, accuracy in list(enumerate(evaluation.accuracies))[evaluation.shared :]:
                if accuracy is not None:
                    self._noise.add(accuracy, memory.get(proposal.path[: t + 1]))
        return self._update

    def state_dict(self) -> dict[str, Any]:
        """Controller, value model, noise and generator."""
        return {
            "controller": self._controller.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "values": self._values.state(),
            "noise": [self._noise.total, self._noise.count],
            "proposed": self._proposed,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._controller.load_state_dict(state["controller"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._values.load_state(state["values"])
        self._noise.total, self._noise.count = state["noise"]
        self._proposed = state["proposed"]
        self._generator.set_state(state["generator"])

    def _random(self, depth_bound: int, taken: set[Path]) -> Proposal:
        """A random path, and one that is taken only where RANDOM_DRAWS draws gave no other."""
        for _ in range(RANDOM_DRAWS):
            proposal = random_path(self._space, depth_bound, self._generator)
            if proposal.path not in taken:
                break
        return proposal

    def _guided(self, memory: ReplayMemory, depth_bound: int, epochs: int, taken: set[Path]) -> Proposal:
        """`taken` are the prefixes that are being measured already: training them once more gains nothing."""
        candidates = self._candidates(memory, depth_bound)
        measured_C = [_measured(memory, path) for path, _ in candidates]
        prefixes = list(dict.fromkeys(prefix for measured in measured_C for prefix in measured))
        place = {prefix: n for n, prefix in enumerate(prefixes)}
        values_MN = self._predicted(memory, prefixes, epochs)
        places_C = [[place[prefix] for prefix in measured] for measured in measured_C]
        self._learn([path for path, _ in candidates], places_C, values_MN.mean(dim=0))
        known_N = torch.tensor([prefix in taken or _evaluated(memory.get(prefix), epochs) for prefix in prefixes])
        member = int(torch.randint(len(values_MN), (), generator=self._generator))
        sampled_N = values_MN[member].masked_fill(known_N, -torch.inf)
        scores_C = [max(float(sampled_N[n]) for n in places) for places in places_C]
        best = max(range(len(candidates)), key=scores_C.__getitem__)
        novel = [n for n in places_C[best] if not known_N[n]]
        again = self._retraining(epochs, values_MN[:, novel], taken)
        if again is not None and not memory.measures_prefixes:
            return Proposal(again, "continue", (1.0,) * len(again))
        if again is not None:
            # A leader below the depth bound is trained as the beginning of a longer path, which measures new prefixes.
            [(path, probs)] = self._controller.sample(
                [again], depth_bound=depth_bound, generator=self._generator, uniform=UNIFORM_SHARE
            )
            return Proposal(path, "continue", (1.0,) * len(again) + probs)
        if scores_C[best] == -math.inf:
            return self._random(depth_bound, taken)
        return candidates[best][1]

    def _predicted(self, memory: ReplayMemory, prefixes: list[Path], epochs: int) -> Tensor:
        """Values y (M, N), mixed with those of a prior."""
        if memory.prior is None:
            return self._values.values(self._values.scores(prefixes, epochs=epochs))
        if self._prior is None:
            self._prior = PriorValues(
                memory.prior, self._space, seed=self._seed, spread=SPREAD * self._options.exploration
            )
        return self._prior.mixed(self._values, prefixes, epochs=epochs, share=memory.prior_share)

    def _candidates(self, memory: ReplayMemory, depth_bound: int) -> list[tuple[Path, Proposal]]:
        mutants = round(self._options.candidates * self._options.mutants)
        prefixes: list[Path] = []
        for c in range(self._options.candidates - mutants):
            prefix: Path = ()
            if c % 2 and depth_bound > 1:
                drawn = memory.draw(self._generator)
                longest = min(len(drawn), depth_bound - 1)
                prefix = drawn[: int(torch.randint(longest + 1, (), generator=self._generator))]
            prefixes.append(prefix)
        sampled = self._controller.sample(
            prefixes, depth_bound=depth_bound, generator=self._generator, uniform=UNIFORM_SHARE
        )
        candidates = {}
        for _ in range(mutants):
            child = mutant(self._space, memory.draw(self._generator)[:depth_bound], self._generator)
            proposal = random_path(self._space, depth_bound, self._generator, prefix=child)
            candidates[proposal.path] = Proposal(proposal.path, "continue", proposal.behaviour)
        for prefix, (path, probs) in zip(prefixes, sampled, strict=True):
            source = "continue" if prefix else "sample"
            candidates[path] = Proposal(path, source, memory.behaviour(prefix) + probs)  # type: ignore[arg-type]
        return list(candidates.items())

    def _learn(self, paths: list[Path], places_C: list[list[int]], mean_N: Tensor) -> None:
        """Raise the probability of the best eighth of the paths. A path counts by the best value of its prefixes.

        `places_C` says where these stand among the values.
        """
        reached = [max(float(mean_N[n]) for n in places) for places in places_C]
        order = sorted(range(len(paths)), key=reached.__getitem__, reverse=True)
        elite = [paths[c] for c in order[: max(1, round(len(paths) * ELITE_SHARE))]]
        scored = self._controller.score(elite)
        steps = scored.lengths_B.sum()
        entropy = scored.entropy_BT.sum() / steps
        loss = -scored.log_probs_BT.sum() / steps
        self._optimizer.zero_grad(set_to_none=True)
        (loss - ENTROPY * entropy).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._controller.parameters(), self._options.controller.grad_clip)
        self._optimizer.step()
        self._update = PolicyUpdate(loss=float(loss.detach()), entropy=float(entropy.detach()))

    def _retraining(self, epochs: int, novel_MN: Tensor, taken: set[Path]) -> Path | None:
        """The leader worth training once more, if that is expected to gain more than the best candidate."""
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
        top = max(means)
        novel_gain = max(
            (
                knowledge_gradient(float(value_M.mean()) - top, float(value_M.var(correction=0)), variance)
                for value_M in novel_MN.T
            ),
            default=0.0,
        )
        path = leaders[best].path
        return path if gains[best] > novel_gain and path not in taken else None


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


def _evaluated(node: NodeStats | None, epochs: int) -> bool:
    return node is not None and any(sums.epochs >= epochs and sums.evaluation_count for sums in node.budgets)
