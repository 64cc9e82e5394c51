from collections import Counter

import pytest
import torch

from replaytree.config.strategies.random import RandomOptions
from replaytree.policy import PolicyUpdate, RandomStrategy, ReplayMemory
from replaytree.policy.random_search import random_path
from replaytree.records import PathEvaluation, Proposal
from replaytree.space import LabelSpace

# c may not come first; after a only b and c may come.
SPACE = LabelSpace(
    ["a", "b", "c"], max_layers=4, legal=lambda prefix: (not prefix or prefix[-1] != 0, True, bool(prefix))
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_legal_action_is_equally_likely_and_the_behaviour_says_so():
    source = generator()
    proposals = [random_path(SPACE, 2, source) for _ in range(3000)]
    # After a two actions are legal, after b three.
    expected = {(0, 1): 1 / 4, (0, 2): 1 / 4, (1, 0): 1 / 6, (1, 1): 1 / 6, (1, 2): 1 / 6}
    counts = Counter(p.path for p in proposals)
    assert {path: count / 3000 for path, count in counts.items()} == pytest.approx(expected, abs=0.035)
    for proposal in proposals:
        assert proposal.behaviour == ((1 / 2, 1 / 2) if proposal.path[0] == 0 else (1 / 2, 1 / 3))
        assert (proposal.source, proposal.rewards) == ("sample", None)


def test_a_prefix_is_kept_as_far_as_the_bound_allows():
    assert random_path(SPACE, 2, generator(), prefix=(1, 2, 1)) == Proposal((1, 2), "sample", (1.0, 1.0))
    longer = random_path(SPACE, 4, generator(), prefix=(1, 0))
    assert (longer.path[:2], longer.behaviour[:3]) == ((1, 0), (1.0, 1.0, 1 / 2))
    assert len(longer.path) == 4


def test_a_loaded_generator_goes_on_where_the_saved_one_stood():
    def paths(strategy):
        return [p.path for p in strategy.propose(ReplayMemory(), num_paths=5, depth_bound=4, epochs=4)]

    one, other = (RandomStrategy(SPACE, RandomOptions(), seed=seed) for seed in (1, 2))
    paths(one)
    other.load_state_dict({"generator": one.state_dict()["generator"].clone()})
    assert paths(other) == paths(one)


def test_the_seed_decides_and_nothing_is_learned():
    def paths(seed, learns):
        strategy = RandomStrategy(SPACE, RandomOptions(), seed=seed)
        found = []
        for _ in range(5):
            proposals = strategy.propose(ReplayMemory(), num_paths=2, depth_bound=4, epochs=4)
            assert len(proposals) == 2
            found += [p.path for p in proposals]
            if learns:
                assert strategy.observe(ReplayMemory(), proposals, [PathEvaluation([0.9] * 4)] * 2) == PolicyUpdate(
                    None, None
                )
        return found

    assert paths(3, learns=True) == paths(3, learns=False) != paths(4, learns=False)
