"""Descents by hand: with all weights 0 the controller's prior is 1/4 for each of four actions."""

import pytest
import torch

from replaytree.config.option import made
from replaytree.config.strategies.puct import PuctOptions
from replaytree.policy import PuctStrategy, ReplayMemory
from replaytree.policy.puct import _visit
from replaytree.records import BudgetSums, Decision, NodeStats, PathEvaluation
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c", "d"], max_layers=3)


def puct(space=SPACE, **options):
    strategy = PuctStrategy(space, made(PuctOptions, options), seed=0)
    with torch.no_grad():
        for weights in strategy.state_dict()["controller"].values():
            weights.zero_()
    return strategy


def node(path, visits, average=None):
    return NodeStats(path, visits, () if average is None else (BudgetSums(4, 2, 2 * average),))


def chosen(strategy, nodes, *, num_paths=1, depth_bound=1, pending=()):
    memory = ReplayMemory(nodes)
    return [
        p.path
        for p in strategy.propose(memory, num_paths=num_paths, depth_bound=depth_bound, epochs=4, pending=pending)
    ]


# N = 9 visits, so the reach of c = 1 is 3 * 1/4. Averages are scaled from [0.5, 0.9] to [0, 1].
#   a: 0   + 0.75 / 4 = 0.1875   b: 1   + 0.75 / 6 = 1.125
#   c: 0.5 + 0.75 / 2 = 0.875    d: 0.5 + 0.75     = 1.25
TREE = [node((0,), 3, 0.5), node((1,), 5, 0.9), node((2,), 1)]


@pytest.mark.parametrize(("c", "action"), [(1.0, 3), (0.7, 1), (0.0, 1)])
def test_value_and_exploration_are_weighed(c, action):
    # With c = 0.7, b has 1.0875 and d 1.025.
    assert chosen(puct(exploration=c), TREE) == [(action,)]


def test_what_a_batch_has_chosen_counts_as_visited_also_where_it_is_new():
    # After d, N = 10 and the reach 0.79: b has 1.132, d 0.895. After b, N = 11, 0.83: d has 0.915, c 0.915 (the first
    # of equals), b 1.118.
    assert chosen(puct(exploration=1.0), TREE, num_paths=3) == [(3,), (1,), (1,)]
    assert chosen(puct(exploration=1.0), TREE, pending=[(3,)]) == [(1,)]
    # Under way three times, d falls behind whatever its value.
    assert chosen(puct(exploration=4.0), TREE) == [(3,)]
    assert chosen(puct(exploration=4.0), TREE, pending=[(3,)] * 3) == [(2,)]


def test_a_batch_spreads_over_what_is_as_good():
    # With c = 4 the reach is 3, and d has 0.5 + 3. Then N = 10 and 3.162: c and d have 0.5 + 3.162 / 2, and c is the
    # first. Then 3.317: c 0.5 + 3.317 / 3, d 0.5 + 3.317 / 2. Then 3.464: both 0.5 + 3.464 / 3, b 1 + 3.464 / 6.
    assert chosen(puct(exploration=4.0), TREE, num_paths=4) == [(3,), (2,), (3,), (2,)]


def test_a_path_visits_each_of_its_prefixes_once():
    visits = {(1,): 4}
    _visit(visits, (1, 2, 0))
    assert visits == {(1,): 5, (1, 2): 1, (1, 2, 0): 1}


def test_where_all_averages_are_equal_visits_decide():
    nodes = [node((action,), visits, 0.5) for action, visits in enumerate((4, 2, 1, 3))]
    assert chosen(puct(), nodes) == [(2,)]


def test_an_empty_tree_leaves_all_to_the_controller():
    strategy = puct()
    proposals = strategy.propose(ReplayMemory(), num_paths=20, depth_bound=2, epochs=4)
    assert {(p.source, p.behaviour) for p in proposals} == {("sample", (0.25, 0.25))}
    assert len({p.path for p in proposals}) > 5


def test_the_walk_goes_down_to_the_leaf_and_the_controller_completes_the_path():
    # At (1,): N = 3. b b: 0.25 + 0.43 / 2 = 0.467 ... d is new: 0.5 + 0.433.
    nodes = [node((1,), 90, 0.9), node((1, 0), 2, 0.5), node((1, 1), 1, 0.6)]
    [proposal] = puct(exploration=1.0).propose(ReplayMemory(nodes), num_paths=1, depth_bound=3, epochs=4)
    # Of the root's, b has 1 + 2.37 / 91 = 1.026 and a 0.5 + 2.37: a is new, and the rest is the controller's.
    assert (proposal.path[0], proposal.source, proposal.behaviour) == (0, "continue", (1.0, 0.25, 0.25))
    [proposal] = puct(exploration=0.1).propose(ReplayMemory(nodes), num_paths=1, depth_bound=3, epochs=4)
    # b: 1.003, a: 0.74. At (1,): a 0 + 0.014, b 0.25 + 0.022, c 0.5 + 0.043: the first that is new.
    assert (proposal.path[:2], proposal.behaviour) == ((1, 2), (1.0, 1.0, 0.25))
    [proposal] = puct(exploration=0.0).propose(ReplayMemory(nodes), num_paths=1, depth_bound=1, epochs=4)
    assert (proposal.path, proposal.behaviour) == ((1,), (1.0,))


def test_only_what_is_legal_is_chosen():
    # d may not come first, and a has been tried most.
    space = LabelSpace(["a", "b", "c", "d"], max_layers=3, legal=lambda prefix: (True, True, True, bool(prefix)))
    nodes = [node((0,), 5, 0.5), node((1,), 2, 0.5)]
    assert chosen(puct(space), nodes) == [(2,)]


def test_the_controller_learns_from_the_best_that_a_step_led_to():
    strategy = puct(gamma=0.0)
    proposals = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=3, epochs=4)
    strategy.observe(ReplayMemory(), proposals, [PathEvaluation([0.5, 0.75, 0.25])])
    assert strategy.state_dict()["mean"] == [0.75, 0.75, 0.25]


class Pairs:
    """Layers of two decisions with 8 options each; all are legal."""

    max_layers = 1

    def decisions(self, depth):
        return tuple(Decision(name, tuple("01234567")) for name in ("one", "two"))

    def legal(self, prefix, chosen=()):
        return (len(prefix) < 1,) * 8


def test_layers_of_several_decisions_are_widened_with_the_root_of_the_visits():
    strategy = puct(Pairs())
    # 1.5 * sqrt(4) is 3: three children are enough. Each has 1/64, scaled to 1/3.
    assert strategy._priors((), [0, 1, 2], 4) == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 1 / 3})
    # 1.5 * sqrt(5) is 3.35: the controller draws a fourth.
    widened = strategy._priors((), [0, 1, 2], 5)
    assert list(widened)[:3] == [0, 1, 2]
    assert list(widened.values()) == pytest.approx([1 / 4] * 4)
