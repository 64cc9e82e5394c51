"""The policy-gradient step by hand: where all weights are 0 the policy is uniform, and only the last biases move."""

import math

import pytest
import torch

from replaytree.config.option import made
from replaytree.config.strategies.reinforce import ReinforceOptions
from replaytree.config.strategies.replay import ReplayOptions
from replaytree.policy import ReplayMemory, ReplayStrategy
from replaytree.policy.replay import reinforce
from replaytree.records import BudgetSums, NodeStats, PathEvaluation, Proposal
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c", "d"], max_layers=4)
LN4 = math.log(4)


def replaying(**options):
    return ReplayStrategy(SPACE, made(ReplayOptions, options), seed=0)


def uniform(strategy, *, mean=(0.5, 0.5, 0.5, 0.5), count=(1, 1, 1, 1)):
    """pi = 1/4 everywhere, and a baseline."""
    with torch.no_grad():
        for weights in strategy.state_dict()["controller"].values():
            weights.zero_()
    strategy.load_state_dict(strategy.state_dict() | {"mean": list(mean), "count": list(count)})
    return strategy


def biases(strategy):
    return strategy.state_dict()["controller"]["logits.layer.bias"]


def sampled(path, behaviour=0.25):
    return Proposal(path, "sample", (behaviour,) * len(path))


def replay_strategy(**options):
    return uniform(replaying(gamma=0.0, **options))


def test_the_loss_of_one_path_by_hand():
    # b = 0.5 at each depth. With gamma 0 the advantages are 0.25 and -0.25.
    update = replay_strategy().observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([0.75, 0.25])])
    assert update.loss == pytest.approx((0.25 - 0.25) * LN4, abs=1e-7)
    # With gamma 0.5, G_2 = 0.25 + 0.375: advantages 0.25 and 0.125.
    strategy = uniform(replaying(gamma=0.5))
    update = strategy.observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([0.75, 0.25])])
    assert update.loss == pytest.approx((0.25 + 0.125) * LN4)
    assert update.entropy == pytest.approx(LN4)
    assert strategy.state_dict()["mean"] == [0.625, 0.5625, 0.5, 0.5]
    assert strategy.state_dict()["count"] == [2, 2, 1, 1]


def test_the_loss_of_a_batch_is_the_mean_of_its_paths_and_its_entropy_that_of_its_steps():
    paths, evaluations = [sampled((1,)), sampled((2, 0, 3))], [PathEvaluation([0.75]), PathEvaluation([0.5, 0.5, 1.0])]
    update = replay_strategy().observe(ReplayMemory(), paths, evaluations)
    # The second path is compared with a baseline that has seen the first one: 0.625 at depth 1.
    assert update.loss == pytest.approx((0.25 + (-0.125 + 0.5)) * LN4 / 2)
    assert update.entropy == pytest.approx(LN4)


@pytest.mark.parametrize(("accuracy", "sign"), [(0.75, 1.0), (0.25, -1.0)])
def test_what_was_better_than_the_baseline_becomes_likelier_and_what_was_worse_less_likely(accuracy, sign):
    strategy = replay_strategy(policy_learning_rate=0.01)
    strategy.observe(ReplayMemory(), [sampled((1,))], [PathEvaluation([accuracy])])
    # Adam's first step is the learning rate against the sign of the gradient.
    assert biases(strategy).tolist() == pytest.approx([-0.01 * sign, 0.01 * sign, -0.01 * sign, -0.01 * sign], rel=1e-3)


@pytest.mark.parametrize("entropy", [0.5, 0.0])
def test_the_entropy_bonus_levels_the_policy(entropy):
    # An accuracy equal to the baseline teaches nothing: what moves is moved by the bonus.
    strategy = replay_strategy(entropy=entropy, policy_learning_rate=0.01)
    with torch.no_grad():
        biases(strategy).copy_(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    strategy.observe(ReplayMemory(), [sampled((1,))], [PathEvaluation([0.5])])
    step = 0.01 if entropy else 0.0
    assert biases(strategy).tolist() == pytest.approx([2.0 - step, step, step, step], rel=1e-3)


def test_the_entropy_bonus_does_not_grow_with_the_batch():
    # Of n paths of one step, the bonus is the mean: the gradient's first moment is a tenth of it.
    moments = []
    for n in (1, 4):
        strategy = replay_strategy(entropy=0.5)
        with torch.no_grad():
            biases(strategy).copy_(torch.tensor([2.0, 0.0, 0.0, 0.0]))
        strategy.observe(ReplayMemory(), [sampled((1,))] * n, [PathEvaluation([0.5])] * n)
        [moment] = [m["exp_avg"] for m in strategy.state_dict()["optimizer"]["state"].values() if m["exp_avg"].any()]
        moments.append(moment)
    torch.testing.assert_close(moments[0], moments[1])


@pytest.mark.parametrize(("rho_bar", "rho"), [(0.5, 0.5), (1.5, 1.5), (10.0, 2.5)])
def test_importance_weights_are_cut_at_rho_bar(rho_bar, rho):
    # pi / mu = 0.25 / 0.1
    update = replay_strategy(rho_bar=rho_bar).observe(
        ReplayMemory(), [sampled((1,), behaviour=0.1)], [PathEvaluation([0.75])]
    )
    assert update.loss == pytest.approx(rho * 0.25 * LN4)


def test_a_behaviour_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="there are 1 behaviour probabilities for 2 steps"):
        replay_strategy().observe(ReplayMemory(), [Proposal((1, 2), "sample", (0.25,))], [PathEvaluation([0.75, 0.5])])


def test_gradients_are_clipped():
    strategy = replay_strategy(grad_clip=0.125, entropy=0.0)
    strategy.observe(ReplayMemory(), [sampled((1,), behaviour=0.25)], [PathEvaluation([1.0])])
    # Unclipped 0.5 * (1/4, -3/4, 1/4, 1/4), of norm 0.433; Adam's first moment is a tenth of the gradient.
    moments = [m["exp_avg"] for m in strategy.state_dict()["optimizer"]["state"].values()]
    assert math.sqrt(sum(float(m.square().sum()) for m in moments)) == pytest.approx(0.0125, rel=1e-4)


@pytest.mark.parametrize(("decay", "mean"), [(None, 0.505), (0.75, 0.625)])
def test_the_baseline_forgets_as_fast_as_its_decay_says(decay, mean):
    strategy = uniform(replaying(gamma=0.0, baseline_decay=decay), count=(99, 99, 99, 99))
    strategy.observe(ReplayMemory(), [sampled((1,))], [PathEvaluation([1.0])])
    assert strategy.state_dict()["mean"] == pytest.approx([mean, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(("decay", "mean"), [(None, 0.5 + 0.05 * 0.25), (0.75, 0.5 + 0.25 * 0.25)])
def test_reinforce_has_the_final_reward_and_the_exponential_baseline_of_zoph_and_le(decay, mean):
    given = made(ReinforceOptions, {"baseline_decay": decay})
    strategy = uniform(reinforce(SPACE, given, seed=0), count=(99, 99, 99, 99))
    update = strategy.observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([0.25, 0.75])])
    assert update.loss == pytest.approx(2 * 0.25 * LN4)
    assert strategy.state_dict()["mean"] == pytest.approx([mean, mean, 0.5, 0.5])
    memory = ReplayMemory([NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),))])
    assert {p.source for p in strategy.propose(memory, num_paths=20, depth_bound=3, epochs=4)} == {"sample"}


def deep_memory():
    """One path of four layers."""
    return ReplayMemory([NodeStats((0, 1, 2, 3)[:t], 1, (BudgetSums(4, 1, 0.5),)) for t in range(1, 5)])


@pytest.mark.parametrize(("bound", "lengths"), [(2, {1}), (3, {1, 2}), (4, {1, 2, 3})])
def test_what_is_continued_is_a_prefix_shorter_than_the_bound(bound, lengths):
    strategy = replay_strategy(replay=0.0, continue_=1.0, temperature=1.0)
    proposals = strategy.propose(deep_memory(), num_paths=100, depth_bound=bound, epochs=4)
    assert all(p.source == "continue" and len(p.path) == len(p.behaviour) == bound for p in proposals)
    # The source of the prefix has one child everywhere; what the controller adds has probability 1/4.
    assert {p.behaviour.count(1.0) for p in proposals} == lengths
    assert all(p.path[: p.behaviour.count(1.0)] == (0, 1, 2, 3)[: p.behaviour.count(1.0)] for p in proposals)
    assert {b for p in proposals for b in p.behaviour} == {1.0, 0.25}


def test_nothing_is_continued_where_only_one_layer_is_allowed():
    strategy = replay_strategy(replay=0.0, continue_=1.0)
    assert {p.source for p in strategy.propose(deep_memory(), num_paths=9, depth_bound=1, epochs=4)} == {"sample"}


def test_a_replayed_path_ends_at_the_bound():
    strategy = replay_strategy(replay=1.0, temperature=1.0)
    proposals = strategy.propose(deep_memory(), num_paths=50, depth_bound=2, epochs=4)
    assert {p.path for p in proposals} == {(0,), (0, 1)}
    assert all(p.behaviour == (1.0,) * len(p.path) and p.rewards == (0.5,) * len(p.path) for p in proposals)


def test_a_given_prefix_is_completed_by_the_controller():
    strategy = replay_strategy()
    proposal = strategy.complete((2, 1), 4)
    assert (proposal.path[:2], proposal.source, proposal.behaviour) == ((2, 1), "continue", (1.0, 1.0, 0.25, 0.25))
    assert strategy.complete((), 1).source == "sample"


def test_a_first_layer_has_no_parent_to_be_compared_with():
    strategy = replay_strategy(baseline="parent", replay=0.0, return_kind="best-reached")
    memory = ReplayMemory([NodeStats((1,), 1, (BudgetSums(4, 1, 0.25),))])
    # Depth 1: G 0.75 less the average 0.5; depth 2: 0.75 less the parent's 0.25.
    update = strategy.observe(memory, [sampled((1, 2))], [PathEvaluation([0.25, 0.75])])
    assert update.loss == pytest.approx((0.25 + 0.5) * LN4)
