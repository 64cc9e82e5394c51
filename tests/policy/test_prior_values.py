import numpy as np
import pytest

from replaytree.policy import ReplayMemory
from replaytree.policy.prior_values import PriorValues
from replaytree.policy.value_model import Predicted
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
    return PriorValues(memory(lambda path: 0.2 + 0.1 * path.count(2)), SPACE)


OWN = Predicted(np.arange(9.0), np.full(9, 0.5))


def test_a_share_of_0_is_the_own_model(prior):
    mixed = prior.mixed(OWN, PATHS, epochs=4, share=0.0)
    assert (mixed.mean.tolist(), mixed.deviation.tolist()) == (OWN.mean.tolist(), OWN.deviation.tolist())


def test_a_share_of_1_ranks_as_the_prior_does(prior):
    mean = prior.mixed(OWN, PATHS, epochs=4, share=1.0).mean
    assert mean.argmax() == PATHS.index((2, 2))
    assert {PATHS[n] for n in np.argsort(-mean)[:5]} == {path for path in PATHS if 2 in path}
    assert set(PATHS) <= set(prior.paths)


def test_half_is_half_way(prior):
    none, half, whole = (prior.mixed(OWN, PATHS, epochs=4, share=share) for share in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(half.mean, (none.mean + whole.mean) / 2)
    np.testing.assert_allclose(half.deviation, (none.deviation + whole.deviation) / 2)


def test_the_same_prior_gives_the_same_values(prior):
    again = PriorValues(memory(lambda path: 0.2 + 0.1 * path.count(2)), SPACE)
    one, other = (each.mixed(OWN, PATHS, epochs=4, share=0.7) for each in (prior, again))
    assert one.mean.tolist() == other.mean.tolist()
