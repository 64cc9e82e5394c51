"""Tree search with the controller as prior and the nodes' averages as values (PUCT; Silver et al., 2017).

From the root: a_t = argmax_a Q(s, a) + c P(a | s) sqrt(N(s)) / (1 + N(s, a)), where P is the controller, N are visit
counts, and Q is the average accuracy of the child's prefix, scaled to [0, 1] by the least and the best average of the
tree. A child that no training measured has the average of its shortest continuations that one did, and Q = 0.5 without
any. Where the path leaves the tree, the controller completes it. The
controller learns as in replay.py, from best-reached returns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from replaytree.config.strategies.puct import PuctOptions
from replaytree.config.strategies.replay import ReplayOptions
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.replay import ReplayStrategy
from replaytree.policy.strategy import PolicyUpdate
from replaytree.records import Path, PathEvaluation, Proposal, Space

UNKNOWN = 0.5
WIDENING = 1.5


class PuctStrategy:
    """See above; `exploration` is c."""

    def __init__(self, space: Space, options: PuctOptions, *, seed: int) -> None:
        self._space = space
        self._options = options
        own = ReplayOptions(return_kind="best-reached", replay=0.0, continue_=0.0, gradient=options.gradient)
        self._policy = ReplayStrategy(space, own, seed=seed)

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """`num_paths` descents. Earlier ones of the batch, and the pending paths, count as visits."""
        visits = {node.path: node.visit_count for node in memory} if pending or num_paths > 1 else None
        for path in pending:
            _visit(visits, path)
        proposals = []
        for _ in range(num_paths):
            prefix = self._descend(memory, depth_bound, visits)
            proposals.append(self._policy.complete(prefix, depth_bound))
            _visit(visits, proposals[-1].path)
        return proposals

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """The controller's policy-gradient step."""
        return self._policy.observe(memory, proposals, evaluations)

    def state_dict(self) -> dict[str, Any]:
        """The controller's."""
        return self._policy.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The controller's."""
        self._policy.load_state_dict(state)

    def _descend(self, memory: ReplayMemory, depth_bound: int, visits: dict[Path, int] | None) -> Path:
        """The prefix at which the walk leaves the tree, with the first action outside it."""
        least, best = memory.accuracy_range
        path: Path = ()
        while len(path) < depth_bound:
            children = {node.path[-1]: node for node in memory.children(path)}
            if not children:
                return path
            counts = {action: node.visit_count for action, node in children.items()}
            priors = self._priors(path, list(children), sum(counts.values()))
            if visits is not None:
                counts = {action: visits.get((*path, action), 0) for action in priors}
            reach = self._options.exploration * math.sqrt(sum(counts.values()))
            scores = {}
            for action, prior in priors.items():
                average = memory.reached((*path, action))
                scaled = UNKNOWN if average is None or best <= least else (average - least) / (best - least)
                scores[action] = scaled + reach * prior / (1 + counts.get(action, 0))
            path = (*path, max(scores, key=scores.__getitem__))
            if path not in memory:
                return path
        return path

    def _priors(self, path: Path, children: list[int], visits: int) -> dict[int, float]:
        """The actions to choose among, each with its prior.

        Of one decision these are all that are legal. The layers that several decisions make are too many to list; then
        the choice is among the children and, while they are fewer than WIDENING sqrt(visits), one more that the
        controller draws (progressive widening; Coulom, 2007). Their probabilities are scaled to add up to 1.
        """
        if len(self._space.decisions(len(path) + 1)) == 1:
            probabilities = self._policy.probabilities(path)
            return {action: probabilities[action] for action, legal in enumerate(self._space.legal(path)) if legal}
        actions = children
        if len(children) < WIDENING * math.sqrt(visits):
            drawn = self._policy.complete(path, len(path) + 1).path[-1]
            actions = list(dict.fromkeys([*children, drawn]))
        shares = self._policy.probabilities_of(path, actions)
        total = math.fsum(shares)
        return {action: share / total for action, share in zip(actions, shares, strict=True)}


def _visit(visits: dict[Path, int] | None, path: Path) -> None:
    if visits is not None:
        for t in range(1, len(path) + 1):
            visits[path[:t]] = visits.get(path[:t], 0) + 1
