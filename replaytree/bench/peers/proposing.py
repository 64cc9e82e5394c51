"""A peer in the place of a strategy, so that it can drive a whole search with real trainings."""

from __future__ import annotations

from collections.abc import Sequence

from replaytree.bench.peers.peer import Peer
from replaytree.config.strategies.random import RandomOptions
from replaytree.policy import PolicyUpdate, ReplayMemory
from replaytree.policy.random_search import RandomStrategy
from replaytree.records import Path, PathEvaluation, Proposal, Space


class PeerStrategy(RandomStrategy):
    """A peer that proposes in the place of random search. Its paths are of full depth, whatever the bound is.

    What is stored with the tree is the state of random search: a search by a peer is not resumed.
    """

    def __init__(self, peer: Peer, space: Space) -> None:
        super().__init__(space, RandomOptions(), seed=0)
        self._peer = peer

    def propose(
        self, memory: ReplayMemory, *, num_paths: int, depth_bound: int, epochs: int, pending: Sequence[Path] = ()
    ) -> list[Proposal]:
        """The next path of the peer."""
        paths = [self._peer.propose() for _ in range(num_paths)]
        return [Proposal(path=path, source="sample", behaviour=(1.0,) * len(path)) for path in paths]

    def observe(
        self, memory: ReplayMemory, proposals: Sequence[Proposal], evaluations: Sequence[PathEvaluation]
    ) -> PolicyUpdate:
        """Tell the peer what whole paths reached; a failure is 0."""
        for proposal, evaluation in zip(proposals, evaluations, strict=True):
            accuracies = evaluation.accuracies
            self._peer.observe(proposal.path, (accuracies[-1] or 0.0) if accuracies else 0.0)
        return PolicyUpdate()
