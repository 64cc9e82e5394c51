import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replaytree.policy import ReplayMemory
from replaytree.records import BudgetSums, NodeStats


def node(path, average=None, *, visits=1, count=1, epochs=4):
    budgets = () if average is None else (BudgetSums(epochs, count, average * count),)
    return NodeStats(path, visits, budgets)


GOLDEN = [node((0,), 0.5), node((0, 1), 0.6), node((2,), 0.4), node((0, 0), 0.5)]

trees = st.lists(
    st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), st.floats(0, 1)), min_size=1, max_size=20
)


def closed(entries):
    """The nodes of some paths and of all their prefixes, parents first."""
    averages = {}
    for path, average in entries:
        for t in range(1, len(path) + 1):
            averages[path[:t]] = average
    return [node(path, average) for path, average in averages.items()]


def test_a_draw_follows_the_softmax_over_average_accuracy():
    memory = ReplayMemory(GOLDEN, temperature=0.1)
    generator = torch.Generator().manual_seed(0)
    counts = Counter(memory.draw(generator) for _ in range(4000))
    weights = {n.path: math.exp(n.average_accuracy / 0.1) for n in GOLDEN}
    for path, weight in weights.items():
        expected = weight / sum(weights.values())
        assert counts[path] / 4000 == pytest.approx(expected, abs=4 * math.sqrt(expected / 4000))


def test_behaviour_is_the_share_among_the_children():
    memory = ReplayMemory(GOLDEN, temperature=0.1)
    e = {average: math.exp(average / 0.1) for average in (0.4, 0.5, 0.6)}
    under_0 = e[0.5] + e[0.6] + e[0.5]
    assert memory.behaviour((0, 1)) == pytest.approx([under_0 / (under_0 + e[0.4]), e[0.6] / (e[0.6] + e[0.5])])


@given(trees, st.randoms())
def test_any_order_of_updates_gives_the_same_distribution(entries, random):
    nodes = closed(entries)
    one_by_one = ReplayMemory(temperature=0.05)
    shuffled = nodes.copy()
    random.shuffle(shuffled)
    for n in sorted(shuffled, key=lambda n: len(n.path)):
        one_by_one.update([n])
    at_once = ReplayMemory(nodes, temperature=0.05)
    for n in nodes:
        assert one_by_one.behaviour(n.path) == pytest.approx(at_once.behaviour(n.path))
        assert one_by_one.rewards(n.path) == at_once.rewards(n.path)


@given(trees)
def test_the_shares_of_all_children_add_up_to_1(entries):
    memory = ReplayMemory(closed(entries), temperature=0.05)
    for prefix in [(), *(n.path for n in memory)]:
        children = memory.children(prefix)
        if children:
            assert sum(memory.behaviour(child.path)[-1] for child in children) == pytest.approx(1.0)


def test_a_very_low_temperature_always_draws_the_best():
    memory = ReplayMemory(GOLDEN, temperature=1e-6)
    generator = torch.Generator().manual_seed(0)
    assert {memory.draw(generator) for _ in range(50)} == {(0, 1)}


def test_a_node_without_evaluations_is_never_drawn():
    memory = ReplayMemory([node((0,)), node((0, 1), 0.1), node((0, 2))], temperature=0.01)
    generator = torch.Generator().manual_seed(0)
    assert {memory.draw(generator) for _ in range(50)} == {(0, 1)}
    assert memory.rewards((0, 1)) == (0.1, 0.1)
    assert memory.rewards((0, 2)) == (0.0, 0.0)


def test_an_update_replaces_a_node():
    memory = ReplayMemory(GOLDEN, temperature=0.01)
    memory.update([node((2,), 0.99)])
    assert memory.get((2,)).average_accuracy == 0.99
    assert len(memory) == 4
    assert memory.draw(torch.Generator().manual_seed(0)) == (2,)


def test_empty():
    assert ReplayMemory().is_empty
    assert ReplayMemory([node((1,))]).is_empty
    assert not ReplayMemory(GOLDEN).is_empty
    with pytest.raises(ValueError, match="temperature is 0"):
        ReplayMemory(temperature=0)


def test_the_average_is_that_of_the_largest_budget():
    stats = NodeStats((0,), 3, (BudgetSums(4, 2, 1.0), BudgetSums(8, 1, 0.9)))
    assert stats.average_accuracy == 0.9
    assert stats.evaluation_count == 3
    assert stats.total_accuracy == 1.9


def test_the_range_is_of_all_averages_that_there_have_been():
    memory = ReplayMemory()
    assert memory.accuracy_range == (math.inf, -math.inf)
    memory.update([node((0,), 0.5), node((1,)), node((2,), 0.25)])
    assert memory.accuracy_range == (0.25, 0.5)
    memory.update([node((2,), 0.375), node((0,), 0.75)])
    assert memory.accuracy_range == (0.25, 0.75)


def test_changes_are_told_once():
    memory = ReplayMemory([NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),)), NodeStats((1,), 1)])
    assert [node.path for node in memory.changes()] == [(0,), (1,)]
    assert memory.changes() == []
    better = NodeStats((0,), 2, (BudgetSums(4, 2, 1.2),))
    memory.update([better, NodeStats((0, 1), 1)])
    assert memory.changes() == [better, NodeStats((0, 1), 1)]


# Another search's: on a scale of its own, better known where GOLDEN is not.
OTHER = [node((0,), 0.1), node((1,), 0.3), node((1, 2), 0.2)]


def warm(nodes=(), *, temperature=0.1):
    return ReplayMemory(nodes, temperature=temperature, prior=ReplayMemory(OTHER, temperature=temperature))


def test_a_prior_is_drawn_from_and_known_of_nothing():
    memory = warm()
    assert not memory.is_empty
    assert memory.is_unmeasured
    assert list(memory) == memory.children(()) == []
    assert memory.get((1,)) is None
    assert memory.prior_share == 1.0
    generator = torch.Generator().manual_seed(0)
    assert {memory.draw(generator) for _ in range(100)} == {(0,), (1,), (1, 2)}


def test_behaviour_before_any_own_training_is_that_of_the_prior():
    e = {average: math.exp(average / 0.1) for average in (0.1, 0.2, 0.3)}
    assert warm().behaviour((1, 2)) == pytest.approx([(e[0.3] + e[0.2]) / sum(e.values()), 1.0])


def test_own_trainings_outweigh_the_prior():
    """Ten trainings begin at the root of GOLDEN, twenty after the update: shares 10 / 20 and 10 / 30."""
    memory = warm([node((0,), 0.5, count=6), node((2,), 0.4, count=4)])
    assert memory.prior_share == 0.5
    memory.update([node((0,), 0.5, count=16)])
    assert memory.prior_share == pytest.approx(1 / 3)
    generator = torch.Generator().manual_seed(0)
    drawn = [memory.draw(generator) for _ in range(3000)]
    of_the_prior = sum(path in ((1,), (1, 2)) for path in drawn) / 3000
    e = {average: math.exp(average / 0.1) for average in (0.1, 0.2, 0.3)}
    assert of_the_prior == pytest.approx((e[0.3] + e[0.2]) / sum(e.values()) / 3, abs=0.03)


def test_behaviour_is_that_of_the_mixture():
    memory = warm([node((0,), 0.5, count=6), node((2,), 0.4, count=4)])
    e = {average: math.exp(average / 0.1) for average in (0.1, 0.2, 0.3, 0.4, 0.5)}
    own, other = e[0.5] + e[0.4], e[0.1] + e[0.2] + e[0.3]
    assert memory.behaviour((0,)) == pytest.approx([0.5 * e[0.5] / own + 0.5 * e[0.1] / other])
    assert memory.behaviour((1, 2)) == pytest.approx([0.5 * (e[0.3] + e[0.2]) / other, 1.0])
    assert sum(memory.behaviour((action,))[0] for action in range(3)) == pytest.approx(1.0)


def test_rewards_of_the_prior_are_brought_to_the_own_scale():
    """Own averages 0.4, 0.6: mean 0.5, deviation 0.1. Those of OTHER: mean 0.2, deviation sqrt(2 / 300)."""
    memory = warm([node((0,), 0.4), node((2,), 0.6)])
    deviation = math.sqrt(2 / 300)
    assert memory.rewards((1, 2)) == pytest.approx((0.5 + 0.1 * 0.1 / deviation, 0.5))
    assert memory.rewards((0,)) == (0.4,)
    assert warm([node((0,), 0.0), node((2,), 1.0)]).rewards((1,)) == (1.0,)
    assert memory.rewards((2, 2)) == (0.6, 0.0)
