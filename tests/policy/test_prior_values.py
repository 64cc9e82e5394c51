import pytest
import torch

from replaytree.policy import ReplayMemory
from replaytree.policy.prior_values import PriorValues
from replaytree.policy.value_model import ValueEnsemble
from replaytree.records import BudgetSums, NodeStats
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c"], max_layers=2)

PATHS = [(a, b) for a in range(3) for b in range(3)]


def memory(accuracy):
    paths = [(a,) for a in range(3)] + PATHS
    return ReplayMemory([NodeStats(path, 1, (BudgetSums(4, 1, accuracy(path)),)) for path in paths])


@pytest.fixture(scope="module")
def prior():
    """Action 2 is good, wherever it comes."""
    return PriorValues(memory(lambda path: 0.2 + 0.1 * path.count(2)), SPACE, seed=0)


@pytest.fixture
def own():
    return ValueEnsemble(SPACE, generator=torch.Generator().manual_seed(1))


def test_a_share_of_0_is_the_own_model(prior, own):
    mixed_MN = prior.mixed(own, PATHS, epochs=4, share=0.0)
    torch.testing.assert_close(mixed_MN, own.values(own.scores(PATHS, epochs=4)))


def test_a_share_of_1_ranks_as_the_prior_does(prior, own):
    values_N = prior.mixed(own, PATHS, epochs=4, share=1.0).mean(dim=0)
    assert values_N.argmax() == PATHS.index((2, 2))
    best = {PATHS[n] for n in values_N.topk(5).indices.tolist()}
    assert best == {path for path in PATHS if 2 in path}


def test_half_is_half_way_on_the_own_scale(prior, own):
    ends = [prior.mixed(own, PATHS, epochs=4, share=share) for share in (0.0, 1.0)]
    torch.testing.assert_close(prior.mixed(own, PATHS, epochs=4, share=0.5), (ends[0] + ends[1]) / 2)


def test_the_same_prior_and_seed_give_the_same_values(prior, own):
    again = PriorValues(memory(lambda path: 0.2 + 0.1 * path.count(2)), SPACE, seed=0)
    values = [each.mixed(own, PATHS, epochs=4, share=0.7) for each in (prior, again)]
    assert torch.equal(*values)
