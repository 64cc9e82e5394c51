import math
from collections import Counter

import pytest
import torch

from replaytree.config.option import made
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.metric import ACCURACY
from replaytree.policy.guided import GuidedStrategy, Noise, knowledge_gradient
from replaytree.policy.memory import ReplayMemory
from replaytree.records import BudgetSums, NodeStats, PathEvaluation, Proposal
from replaytree.space import LabelSpace


def test_the_knowledge_gradient_of_a_tie_by_hand():
    # lead 0: gain = sigma~ phi(0), sigma~ = 1 / sqrt(1 + 3) = 1/2
    assert knowledge_gradient(0.0, 1.0, 3.0) == pytest.approx(0.5 / math.sqrt(2 * math.pi))


def test_the_knowledge_gradient_is_the_expected_gain():
    # By simulation: the posterior mean moves by sigma~ z; the gain is how far the better of the two rises.
    lead, variance, noise = -0.3, 0.5, 0.2
    spread = variance / math.sqrt(variance + noise)
    z = torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gain = torch.relu(lead + spread * z).mean()
    assert knowledge_gradient(lead, variance, noise) == pytest.approx(float(gain), rel=0.02)


def test_the_knowledge_gradient_is_symmetric_falls_with_the_lead_and_is_0_for_the_known():
    assert knowledge_gradient(0.2, 0.1, 0.1) == knowledge_gradient(-0.2, 0.1, 0.1)
    gains = [knowledge_gradient(lead, 0.1, 0.1) for lead in (0.0, 0.1, 0.5, 2.0)]
    assert gains == sorted(gains, reverse=True)
    assert knowledge_gradient(0.0, 0.0, 0.1) == 0.0


def test_noise_is_estimated_without_bias():
    # A second training at distance d from the first tells d^2 / 2; a third at distance d from their mean 2 d^2 / 3.
    noise = Noise(ACCURACY)
    noise.add(0.6, None)
    noise.add(0.6, NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),)))
    d = ACCURACY.value(0.6) - ACCURACY.value(0.5)
    assert noise.variance == pytest.approx(d * d / 2)
    noise.add(0.5, NodeStats((0,), 2, (BudgetSums(4, 2, 0.5 + 0.5),)))
    assert noise.variance == pytest.approx(d * d / 4)


def test_equal_trainings_show_no_noise():
    noise = Noise(ACCURACY)
    for n in range(1, 50):
        noise.add(0.9, NodeStats((0,), n, (BudgetSums(4, n, sum([0.9] * n)),)))
    assert noise.variance < 1e-12


def test_a_copy_of_another_training_is_no_repetition():
    space = LabelSpace(["a", "b", "c"], max_layers=2)
    strategy = GuidedStrategy(space, GuidedOptions(), seed=0)
    memory = ReplayMemory(
        [NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),)), NodeStats((0, 1), 1, (BudgetSums(4, 1, 0.5),))]
    )
    proposals = [Proposal((0, action), "sample", (0.5, 0.5)) for action in (0, 1)]
    strategy.observe(memory, proposals, [PathEvaluation([0.6, 0.7]), PathEvaluation([0.6, 0.5], shared=1)])
    # Of (0,) once, of (0, 1) once; (0, 0) is new. A second value at distance d from the first tells d^2 / 2.
    d = ACCURACY.value(0.6) - ACCURACY.value(0.5)
    assert strategy.state_dict()["noise"] == [pytest.approx(d * d / 2), 2]


class Believed:
    """A value model whose members believe what they are told: a value for each path, else 0."""

    def __init__(self, *members):
        self.members = members
        self.fits = 0

    def fit(self, table):
        self.fits += 1

    def scores(self, prefixes, *, epochs):
        return torch.tensor([[member.get(prefix, 0.0) for prefix in prefixes] for member in self.members])

    def values(self, scores):
        return scores

    def state(self):
        return {}

    def load_state(self, state):
        pass


def believing(*members, actions=6, max_layers=1, **options):
    """A guided strategy with that model, which has left its warm-up, and the tree that it knows."""
    space = LabelSpace([chr(ord("a") + a) for a in range(actions)], max_layers=max_layers)
    options = {"warmup": 1, "policy_learning_rate": 1e-6} | options
    strategy = GuidedStrategy(space, made(GuidedOptions, options), seed=0)
    strategy._values = Believed(*members)
    strategy.propose(ReplayMemory(), num_paths=1, depth_bound=1, epochs=4)
    return strategy


def measured(*paths, epochs=4, accuracy=0.5, count=1):
    return ReplayMemory([NodeStats(path, count, (BudgetSums(epochs, count, accuracy * count),)) for path in paths])


def test_each_time_one_random_member_chooses():
    # Each member has a favourite of its own; the mean of them all favours 5.
    members = [{(favourite,): 1.0, (5,): 0.9} for favourite in range(4)]
    strategy, memory = believing(*members), measured((0,), epochs=2)
    chosen = Counter(strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4)[0].path[0] for _ in range(80))
    assert set(chosen) == {0, 1, 2, 3}
    assert min(chosen.values()) >= 8  # of 80 / 4


def test_a_candidate_is_worth_its_best_new_prefix():
    # (1, 0) and (1, 1) are worth 0.9 by what they begin with, (2, 3) is worth 0.7 by its end, (2, 1) 0.8.
    values = {(1,): 0.9, (2, 3): 0.7, (2, 1): 0.8, (3, 0): 0.75}
    strategy = believing(values, actions=4, max_layers=2)
    [proposal] = strategy.propose(measured((0,), epochs=2), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path[0] == 1
    # Once (1,) is known at this budget, nothing is gained by it; known at a smaller one, it still is new.
    [proposal] = strategy.propose(measured((1,), epochs=4), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path == (2, 1)
    [proposal] = strategy.propose(measured((1,), epochs=8), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path == (2, 1)
    [proposal] = strategy.propose(measured((1,), epochs=3), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path[0] == 1
    [proposal] = strategy.propose(measured((0,)), num_paths=1, depth_bound=2, epochs=4, pending=[(1, 2)])
    assert proposal.path == (2, 1)


def test_paths_that_are_proposed_together_do_not_repeat_one_another():
    strategy = believing({(action,): 1.0 - action / 10 for action in range(6)})
    proposals = strategy.propose(measured((0,), epochs=2), num_paths=6, depth_bound=1, epochs=4)
    assert [p.path for p in proposals] == [(action,) for action in range(6)]


def test_a_tree_that_is_known_whole_goes_on_at_random():
    strategy = believing({}, actions=2)
    paths = [p.path for p in strategy.propose(measured((0,), (1,)), num_paths=30, depth_bound=1, epochs=4)]
    assert set(paths) == {(0,), (1,)}


def test_the_warm_up_ends_after_as_many_proposals():
    strategy = believing({(5,): 1.0}, actions=12, warmup=4)
    paths, learned = [], []
    for _ in range(8):
        paths += strategy.propose(measured((0,), epochs=2), num_paths=1, depth_bound=1, epochs=4)
        learned.append(strategy.observe(ReplayMemory(), [], []).loss is not None)
    # One was proposed before: three more are random, and the controller learns nothing from them.
    assert learned == [False] * 3 + [True] * 5
    assert {p.behaviour for p in paths[:3]} == {(1 / 12,)}
    assert {p.path for p in paths[3:]} == {(5,)}
    assert strategy._values.fits == 5


def controller_biases(strategy, values):
    """The controller's policy is softmax(values) everywhere."""
    with torch.no_grad():
        for weights in strategy.state_dict()["controller"].values():
            weights.zero_()
        strategy.state_dict()["controller"]["logits.layer.bias"].copy_(torch.tensor(values))
    return strategy


def test_the_controller_is_fitted_to_the_best_eighth():
    strategy = controller_biases(believing({}, policy_learning_rate=0.01, actions=8), [0.0] * 8)
    paths = [(action,) for action in range(8)]
    values = torch.tensor([0.1, 0.2, 0.0, 0.9, 0.3, 0.5, 0.8, 0.4])
    strategy._learn(paths, [[n] for n in range(8)], values)
    moved = strategy.state_dict()["controller"]["logits.layer.bias"].tolist()
    assert moved == pytest.approx([-0.01] * 3 + [0.01] + [-0.01] * 4, rel=1e-3)
    assert strategy._update.loss == pytest.approx(math.log(8))
    assert strategy._update.entropy == pytest.approx(math.log(8))


def test_a_path_counts_by_the_best_value_that_it_reaches():
    # The second one ends badly, but nothing is better than its first layer.
    strategy = controller_biases(believing({}, policy_learning_rate=0.01, actions=4, max_layers=2), [0.0] * 4)
    paths = [(0, 1), (2, 3)]
    strategy._learn(paths, [[0, 1], [2, 3]], torch.tensor([0.3, 0.6, 0.8, 0.1]))
    moved = strategy.state_dict()["controller"]["logits.layer.bias"].tolist()
    assert moved == pytest.approx([-0.01, -0.01, 0.01, 0.01], rel=1e-3)
    # The mean over its two steps.
    assert strategy._update.loss == pytest.approx(math.log(4))


def test_the_entropy_bonus_keeps_the_controller_from_settling():
    # Three of the best four of 32 candidates are a and one is b, as the policy has it: only the bonus is left to move.
    p = [math.log(0.75), math.log(0.25), -30.0]
    strategy = controller_biases(believing({}, policy_learning_rate=0.01, actions=3), p)
    paths = [(0,)] * 3 + [(1,)] + [(2,)] * 28
    strategy._learn(paths, [[path[0]] for path in paths], torch.tensor([0.9, 0.8, 0.1]))
    a, b, _ = strategy.state_dict()["controller"]["logits.layer.bias"].tolist()
    assert a == pytest.approx(p[0] - 0.01, rel=1e-2)
    assert b == pytest.approx(p[1] + 0.01, rel=1e-2)


def leaders(first=0.9, second=0.89):
    return ReplayMemory(
        [NodeStats((0,), 1, (BudgetSums(4, 1, first),)), NodeStats((1,), 1, (BudgetSums(4, 1, second),))]
    )


def noisy(strategy, variance):
    strategy.load_state_dict(strategy.state_dict() | {"noise": [variance, 1]})
    return strategy


def test_one_training_in_four_a_leader_is_trained_again_where_noise_hides_the_best():
    strategy, memory = noisy(believing({}, actions=24), 1.0), leaders()
    repeated = []
    for proposed in range(1, 9):
        [proposal] = strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4)
        repeated.append(proposal.path in memory)
        if repeated[-1]:
            assert (proposed, proposal) in [(n, Proposal((0,), "continue", (1.0,))) for n in (4, 8)]
    assert repeated == [False, False, False, True] * 2


def test_a_leader_is_trained_again_as_the_beginning_of_a_longer_path():
    strategy = noisy(believing({}, actions=4, max_layers=3, warmup=4), 1.0)
    strategy._proposed = 4
    [proposal] = strategy.propose(leaders(), num_paths=1, depth_bound=3, epochs=4)
    assert (proposal.path[0], len(proposal.path), proposal.source) == (0, 3, "continue")
    assert proposal.behaviour[0] == 1.0
    assert proposal.behaviour[1:] == pytest.approx((0.25, 0.25), abs=0.05)


@pytest.mark.parametrize(
    ("why", "variance", "values", "memory", "pending"),
    [
        ("nothing was trained twice", 0.0, [{}], leaders(), ()),
        # Values are 2.30 and 2.21: a gain of 0.003. That of the candidate, 0.85 +- 0.75, is 0.007.
        ("a candidate may well be better", 0.01, [{(5,): 1.6}, {(5,): 0.1}], leaders(), ()),
        # Values are 3.00 and 0.69, far apart for a deviation of 0.1; even a candidate of 1.3 +- 0.3 has more to gain.
        ("the best is beyond doubt", 0.01, [{(5,): 1.6}, {(5,): 1.0}], leaders(0.95, 0.5), ()),
        ("there is one leader", 1.0, [{}], measured((0,)), ()),
        ("the leader is under way", 1.0, [{}], leaders(), [(0,)]),
    ],
)
def test_no_leader_is_trained_again_where(why, variance, values, memory, pending):
    strategy = noisy(believing(*values, actions=12), variance)
    strategy._proposed = 4
    [proposal] = strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4, pending=pending)
    assert proposal.path not in memory, why


def test_own_values_and_those_of_a_prior_are_spread_alike():
    space = LabelSpace(["a", "b", "c"], max_layers=1)
    strategy = GuidedStrategy(space, GuidedOptions(exploration=3.0), seed=0)
    strategy.propose(ReplayMemory(prior=measured((0,), (1,))), num_paths=1, depth_bound=1, epochs=4)
    # Deviations count twice at an exploration of 1.
    assert (strategy._values._spread, strategy._prior._values._spread) == (6.0, 6.0)


def test_the_leader_of_most_to_gain_is_trained_again():
    # Both trail or lead by as much, but the second was trained once, the first nine times.
    memory = ReplayMemory(
        [NodeStats((0,), 9, (BudgetSums(4, 9, 0.9 * 9),)), NodeStats((1,), 1, (BudgetSums(4, 1, 0.89),))]
    )
    strategy = noisy(believing({}, actions=24), 0.04)
    strategy._proposed = 4
    assert strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4)[0].path == (1,)


@pytest.mark.parametrize(("mutants", "own"), [(0.0, 64), (0.5, 32), (1.0, 0)])
def test_as_many_candidates_are_mutants_as_asked(mutants, own):
    # Of 24^4 paths hardly two are equal.
    strategy = believing({}, actions=24, max_layers=4, mutants=mutants, temperature=1.0)
    memory = ReplayMemory([NodeStats((7, 7, 7, 7)[:t], 1, (BudgetSums(4, 1, 0.5),)) for t in range(1, 5)])
    candidates = [proposal for _, proposal in strategy._candidates(memory, 4)]
    # The controller's steps have probabilities of their own; a mutant's are 1, or 1/24 where it grew at random.
    drawn = [p for p in candidates if set(p.behaviour) <= {1.0, 1 / 24}]
    assert len(candidates) == pytest.approx(64, abs=2)
    assert len(candidates) - len(drawn) == pytest.approx(own, abs=1)
    assert all(p.source == "continue" for p in drawn)
    assert all(len(p.path) == 4 for p in candidates)
    # Of the controller's, every second one starts with a prefix of the tree, which may be empty.
    continued = [p for p in candidates if p not in drawn and p.source == "continue"]
    assert all(p.path[0] == 7 and p.behaviour[0] == 1.0 for p in continued)
    assert own / 8 <= len(continued) <= own / 2
    assert {p.behaviour.count(1.0) for p in continued} <= {1, 2, 3}
    # A prefix is shorter than the bound, so that something new is always added to it.
    assert mutants > 0 or (7, 7, 7, 7) not in {p.path for p in candidates}
