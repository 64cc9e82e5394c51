"""REINFORCE with an experience replay tree: the poster's algorithm.

Its options differ little in regret: most intervals overlap, and no return wins on both tables. Growth from one layer
costs regret on both. The measurements are in reports/benchmarks/strategies.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from replaytree.config.policy_gradient import PolicyGradientOptions
from replaytree.config.strategies.reinforce import ReinforceOptions
from replaytree.config.strategies.replay import ReplayOptions
from replaytree.errors import ConfigError
from replaytree.policy.controller import Controller, Scored, optimizer_of
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.returns import RETURNS, Array, average_baseline, averaged, importance_weights
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Path, PathEvaluation, Proposal, Space, filled
from replaytree.space.coding import ended

ZOPH_LE_DECAY = 0.95


class ReplayStrategy:
    """An episode is sampled from the controller, continued from a tree prefix, or replayed from the tree.

    One update a batch (Xu, poster, steps 4 to 6; Williams, 1992):
    theta += alpha sum_t rho_t grad log pi(a_t | a_<t) (G_t - b_t), averaged over the batch, plus an entropy bonus,
    by Adam with clipped gradients. rho_t is the truncated importance weight of a step. It is 1 where the policy has not
    changed since the step was sampled. As ENAS does it: entropy is a part of the reward, the baseline takes in a return
    first, so that an advantage is smaller by the factor of its decay, and skips are drawn towards a prior.
    """

    def __init__(self, space: Space, options: ReplayOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        self._generator = torch.Generator().manual_seed(seed)
        self._controller = Controller(space, options.gradient.controller, generator=self._generator)
        self._optimizer = optimizer_of(self._controller, options.gradient.controller)
        if options.gradient.skip_weight and not self._controller.chooses_skips:
            raise ConfigError(
                f"skip_weight is {options.gradient.skip_weight:g}, and no layer of the space takes a set of earlier "
                f"layers; leave out --skip-weight"
            )
        self._mean_D = np.zeros(space.max_layers)
        self._count_D = np.zeros(space.max_layers)

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """`num_paths` episodes. Nothing is replayed or continued before there is something in the tree.

        A prior alone gives nothing to replay: its accuracies are not on the scale of this search's baseline.
        """
        sources_B = torch.rand(num_paths, generator=self._generator, dtype=torch.float64).tolist()
        replays: dict[int, Proposal] = {}
        prefixes: dict[int, Path] = {}
        for b, u in enumerate(sources_B):
            if u < self._options.replay and not memory.is_unmeasured:
                path = memory.draw(self._generator)[:depth_bound]
                replays[b] = Proposal(path, "replay", memory.behaviour(path), memory.rewards(path))
            elif u < self._options.replay + self._options.continue_ and not memory.is_empty and depth_bound > 1:
                prefixes[b] = self._cut(memory.draw(self._generator), depth_bound)
            else:
                prefixes[b] = ()
        sampled = self._controller.sample(list(prefixes.values()), depth_bound=depth_bound, generator=self._generator)
        fresh = {
            b: Proposal(path, "continue" if prefix else "sample", memory.behaviour(prefix) + probs)
            for (b, prefix), (path, probs) in zip(prefixes.items(), sampled, strict=True)
        }
        return [replays.get(b) or fresh[b] for b in range(num_paths)]

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """One policy-gradient step on the batch. Only trained episodes change the baseline."""
        gradient = self._options.gradient
        skip_target = gradient.skip_target if gradient.skip_weight else None
        scored = self._controller.score([proposal.path for proposal in proposals], skip_target=skip_target)
        bonus_BT = _reward_bonus(scored, gradient)
        pi_BT = scored.log_probs_BT.detach().exp().double().numpy()
        weight_BT = torch.zeros_like(scored.log_probs_BT)
        for b, (proposal, evaluation) in enumerate(zip(proposals, evaluations, strict=True)):
            T = len(proposal.path)
            rewards_T = np.asarray(filled(evaluation.accuracies, T)) + bonus_BT[b, :T]
            returns_T = RETURNS[self._options.return_kind](rewards_T, self._options.gamma)
            after = self._mean_D, self._count_D
            if proposal.rewards is None:
                after = averaged(returns_T, *after, decay=gradient.baseline_decay)
            if gradient.baseline_first:
                self._mean_D, self._count_D = after
            advantages_T = returns_T - self._baseline(memory, proposal.path, returns_T)
            rho_T = importance_weights(pi_BT[b, :T], np.asarray(proposal.behaviour), gradient.rho_bar)
            weight_BT[b, :T] = torch.from_numpy(rho_T * advantages_T)
            self._mean_D, self._count_D = after
        policy_loss = -(weight_BT * scored.log_probs_BT).sum() / len(proposals)
        entropy = scored.entropy_BT.sum() / scored.lengths_B.sum()
        loss = policy_loss + gradient.skip_weight * scored.skip_kl_B.mean()
        if gradient.entropy_in == "loss":
            loss = loss - gradient.entropy * scored.entropy_BT.sum() / len(proposals)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._controller.parameters(), gradient.controller.grad_clip)
        self._optimizer.step()
        return PolicyUpdate(loss=float(policy_loss.detach()), entropy=float(entropy.detach()))

    def _baseline(self, memory: ReplayMemory, path: Path, returns_T: Array) -> Array:
        """b_t: the average return at depth t, or with `baseline="parent"` what a_<t has reached in the tree."""
        baseline_T = average_baseline(returns_T, self._mean_D, self._count_D)
        if self._options.baseline == "parent":
            for t in range(1, len(path)):
                parent = memory.reached(path[:t])
                if parent is not None:
                    baseline_T[t] = parent
        return baseline_T

    def complete(self, prefix: Path, depth_bound: int) -> Proposal:
        """One episode: the controller completes a given prefix."""
        [(path, probs)] = self._controller.sample([prefix], depth_bound=depth_bound, generator=self._generator)
        return Proposal(path, "continue" if prefix else "sample", (1.0,) * len(prefix) + probs)

    @torch.no_grad()
    def probabilities(self, prefix: Path) -> list[float]:
        """pi(a | prefix) for every action of a layer of one decision."""
        return self._controller.next_probabilities(prefix)

    @torch.no_grad()
    def probabilities_of(self, prefix: Path, actions: Sequence[int]) -> list[float]:
        """pi(a | prefix) of some legal actions."""
        scored = self._controller.score([(*prefix, action) for action in actions])
        probabilities: list[float] = scored.log_probs_BT[:, len(prefix)].exp().tolist()
        return probabilities

    def state_dict(self) -> dict[str, Any]:
        """Controller, optimiser, baseline and generator."""
        return {
            "controller": self._controller.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "mean": self._mean_D.tolist(),
            "count": self._count_D.tolist(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self._controller.load_state_dict(state["controller"])
        self._optimizer.load_state_dict(state["optimizer"])
        # A state of fewer layers is of the search before its limit was raised; nothing was measured beyond it.
        for own_D, stored in ((self._mean_D, state["mean"]), (self._count_D, state["count"])):
            if len(stored) > len(own_D):
                raise ValueError(f"its baseline has {len(stored)} layers, and the space has {len(own_D)}")
            own_D[: len(stored)], own_D[len(stored) :] = stored, 0.0
        self._generator.set_state(state["generator"])

    def _cut(self, path: Path, depth_bound: int) -> Path:
        """The beginning of a path, which may go on: what ends a path early is left out."""
        longest = min(len(path) - ended(self._space, path), depth_bound - 1)
        return path[: 1 + int(torch.randint(longest, (), generator=self._generator))] if longest > 0 else ()


def _reward_bonus(scored: Scored, gradient: PolicyGradientOptions) -> Array:
    """(B, T): what is added to the reward of each prefix, the entropy of the choices that made it; no gradient."""
    if gradient.entropy_in == "loss":
        return np.zeros(scored.entropy_BT.shape)
    entropy_BT = scored.entropy_BT if gradient.entropy_in == "reward" else scored.drawn_entropy_BT
    bonus_BT: Array = gradient.entropy * entropy_BT.detach().double().cumsum(dim=1).numpy()
    return bonus_BT


def reinforce(space: Space, options: ReinforceOptions, *, seed: int) -> ReplayStrategy:
    """REINFORCE as in Zoph and Le (2017): final reward only, exponential-average baseline, no tree."""
    decay = options.gradient.baseline_decay
    gradient = replace(options.gradient, baseline_decay=ZOPH_LE_DECAY if decay is None else decay)
    own = ReplayOptions(return_kind="final", replay=0.0, continue_=0.0, gradient=gradient)
    return ReplayStrategy(space, own, seed=seed)
