import math

import numpy as np
import pytest
import torch

from replaytree.config.option import made
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.metric import ACCURACY
from replaytree.policy.guided import GuidedStrategy, Noise, knowledge_gradient
from replaytree.policy.memory import ReplayMemory
from replaytree.policy.value_model import Predicted
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


def test_a_space_of_text_has_the_noise_of_the_loss():
    class Words(LabelSpace):
        task = "text"

    strategy = GuidedStrategy(Words(["a", "b"], max_layers=1), GuidedOptions(), seed=0)
    memory = ReplayMemory([NodeStats((0,), 1, (BudgetSums(4, 1, 0.01),))])
    strategy.observe(memory, [Proposal((0,), "sample", (0.5,))], [PathEvaluation([0.0125])])
    # Perplexity 80 after 100: the losses differ by log 1.25.
    assert strategy.state_dict()["noise"] == [pytest.approx(math.log(1.25) ** 2 / 2), 1]


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
    """A value model that believes what it is told: a mean for each prefix, else 0, and one deviation for all."""

    unit = 1.0

    def __init__(self, told, deviation=1e-9):
        self.told, self.deviation = told, deviation
        self.paths = []
        self.fits, self.believed = 0, []

    def fit(self, table):
        self.fits += 1
        self.paths = table.paths(table.examples()[0])

    def believe(self, prefixes, *, epochs):
        self.believed.append(prefixes)

    def predicted(self, prefixes, *, epochs):
        mean = np.array([self.told.get(prefix, 0.0) for prefix in prefixes])
        deviation = self.deviation if isinstance(self.deviation, dict) else dict.fromkeys(prefixes, self.deviation)
        return Predicted(mean, np.array([deviation.get(prefix, 1e-9) for prefix in prefixes]))

    def state(self):
        return {}

    def load_state(self, state):
        pass


def believing(told, deviation=1e-9, *, actions=6, max_layers=1, **options):
    """A guided strategy with that model, which has left its warm-up."""
    space = LabelSpace([chr(ord("a") + a) for a in range(actions)], max_layers=max_layers)
    strategy = GuidedStrategy(space, made(GuidedOptions, {"warmup": 1} | options), seed=0)
    strategy._values = Believed(told, deviation)
    strategy.propose(ReplayMemory(), num_paths=1, depth_bound=1, epochs=4)
    return strategy


def measured(*paths, epochs=4, accuracy=0.5, count=1):
    return ReplayMemory([NodeStats(path, count, (BudgetSums(epochs, count, accuracy * count),)) for path in paths])


def test_expected_improvement_by_hand():
    for exploration in (1.0, 2.0):
        strategy = believing({}, exploration=exploration)
        # At the best one, and one deviation over it: s phi(0), and s (Phi(1) + phi(1)).
        gains = strategy._gains(Predicted(np.array([3.0, 3.5]), np.array([0.25, 0.5 / exploration])), 3.0)
        assert gains.tolist() == pytest.approx([exploration * 0.25 * 0.398942, 0.5 * (0.841345 + 0.241971)], abs=1e-6)


def test_expected_improvement_is_the_mean_of_what_is_over_the_best():
    z = np.random.default_rng(0).standard_normal(400_000)
    [gain] = believing({})._gains(Predicted(np.array([0.3]), np.array([0.7])), 0.5)
    assert gain == pytest.approx(np.maximum(0.3 + 0.7 * z - 0.5, 0.0).mean(), rel=0.02)


def test_a_candidate_that_is_less_sure_may_be_worth_more():
    # Both are below the best, of 0.5: the one by 0.1 for certain, the other by 0.2 and a deviation of 0.3.
    told = {(0,): 0.5, (1,): 0.4, (2,): 0.3, (3,): -9.0, (4,): -9.0, (5,): -9.0}
    for deviation, chosen in (({}, (1,)), ({(2,): 0.3}, (2,))):
        strategy = believing(told, {(1,): 0.02} | deviation)
        [proposal] = strategy.propose(measured((0,)), num_paths=1, depth_bound=1, epochs=4)
        assert proposal.path == chosen


def test_a_candidate_is_worth_its_best_new_prefix():
    # (1, 0) and (1, 1) are worth 0.9 by what they begin with, (2, 3) is worth 0.7 by its end, (2, 1) 0.8.
    values = {(1,): 0.9, (2, 3): 0.7, (2, 1): 0.8, (3, 0): 0.75, (0,): -1.0}
    strategy = believing(values, 0.01, actions=4, max_layers=2)
    [proposal] = strategy.propose(measured((0,), epochs=2), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path[0] == 1
    # Once (1,) is known at this budget, nothing is gained by it; known at a smaller one, it still is new.
    values[1,] = 0.75
    [proposal] = strategy.propose(measured((1,), epochs=4), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path == (2, 1)
    [proposal] = strategy.propose(measured((1,), epochs=8), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path == (2, 1)
    values[1,] = 0.9
    [proposal] = strategy.propose(measured((1,), epochs=3), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path[0] == 1
    [proposal] = strategy.propose(measured((0,)), num_paths=1, depth_bound=2, epochs=4, pending=[(1, 2)])
    assert proposal.path == (2, 1)


def test_a_path_that_failed_is_not_tried_again():
    strategy = believing({(1,): 0.9, (2,): 0.8, (0,): -1.0}, 0.01)
    failed = NodeStats((1,), 1)
    memory = ReplayMemory([*measured((0,)), failed])
    assert strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4)[0].path == (2,)


def test_paths_that_are_proposed_together_do_not_repeat_one_another():
    strategy = believing({(action,): 1.0 - action / 10 for action in range(6)})
    proposals = strategy.propose(measured((0,), epochs=2), num_paths=6, depth_bound=1, epochs=4, pending=[(3,)])
    assert [p.path for p in proposals[:5]] == [(0,), (1,), (2,), (4,), (5,)]
    # Each is taken for measured before the next is chosen.
    assert strategy._values.believed == [[(3,)], [(0,)], [(1,)], [(2,)], [(4,)], [(5,)]]


def test_a_tree_that_is_known_whole_goes_on_at_random():
    strategy = believing({}, actions=2)
    paths = [p.path for p in strategy.propose(measured((0,), (1,)), num_paths=30, depth_bound=1, epochs=4)]
    assert set(paths) == {(0,), (1,)}


def test_the_warm_up_ends_after_as_many_proposals():
    strategy = believing({(5,): 1.0}, 0.01, actions=12, warmup=4)
    paths = []
    for _ in range(8):
        paths += strategy.propose(measured((0,), epochs=2), num_paths=1, depth_bound=1, epochs=4)
    # One was proposed before: three more are random.
    assert {p.path for p in paths[:3]} != {(5,)}
    assert {p.path for p in paths[3:]} == {(5,)}
    assert strategy._values.fits == 5


def test_a_state_of_the_networks_of_old_is_taken_without_them():
    strategy = believing({})
    old = strategy.state_dict() | {"values": {"networks": {}, "optimizer": {}}, "proposed": 7, "noise": [0.5, 2]}
    del old["model"]
    strategy.load_state_dict(old)
    assert (strategy._proposed, strategy._noise.variance) == (7, 0.25)


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
    assert proposal.behaviour == (1.0, 0.25, 0.25)


@pytest.mark.parametrize(
    ("why", "variance", "best", "memory", "pending"),
    [
        ("nothing was trained twice", 0.0, 0.0, leaders(), ()),
        # Values are 2.30 and 2.21: a gain of 0.003, less than that of a candidate that is better by 0.01 for certain.
        ("a candidate is better", 0.01, 0.01, leaders(), ()),
        # Values are 3.00 and 0.69, far apart for a deviation of 0.1.
        ("the best is beyond doubt", 0.01, 1e-3, leaders(0.95, 0.5), ()),
        ("there is one leader", 1.0, 0.0, measured((0,)), ()),
        ("the leader is under way", 1.0, 0.0, leaders(), [(0,)]),
    ],
)
def test_no_leader_is_trained_again_where(why, variance, best, memory, pending):
    strategy = noisy(believing({(5,): best}, actions=12), variance)
    strategy._proposed = 4
    [proposal] = strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4, pending=pending)
    assert proposal.path not in memory, why


def test_a_leader_is_trained_again_where_that_gains_more_than_the_best_candidate():
    strategy = noisy(believing({(5,): 0.001}, actions=12), 0.01)
    strategy._proposed = 4
    assert strategy.propose(leaders(), num_paths=1, depth_bound=1, epochs=4)[0].path == (0,)
    # The same in values, of which a score is worth ten.
    strategy._proposed, strategy._values.unit = 4, 10.0
    assert strategy.propose(leaders(), num_paths=1, depth_bound=1, epochs=4)[0].path == (5,)


def test_the_leader_of_most_to_gain_is_trained_again():
    # Both trail or lead by as much, but the second was trained once, the first nine times.
    memory = ReplayMemory(
        [NodeStats((0,), 9, (BudgetSums(4, 9, 0.9 * 9),)), NodeStats((1,), 1, (BudgetSums(4, 1, 0.89),))]
    )
    strategy = noisy(believing({}, actions=24), 0.04)
    strategy._proposed = 4
    assert strategy.propose(memory, num_paths=1, depth_bound=1, epochs=4)[0].path == (1,)


@pytest.mark.parametrize(("mutants", "own"), [(0.0, 0), (0.5, 100), (1.0, 200)])
def test_as_many_candidates_are_mutants_as_asked(mutants, own):
    # Of 24^4 paths hardly two are equal.
    strategy = believing({}, actions=24, max_layers=4, mutants=mutants)
    candidates = strategy._candidates([(7, 7, 7, 7), (8, 8)], 4)
    drawn = [p for p in candidates if p.source == "continue"]
    # A mutant of the first place of (8, 8) has its second place, and its end is random.
    assert sum(p.source == "sample" for p in candidates) == pytest.approx(200 - own, abs=2)
    assert len(drawn) <= own
    assert all(p.path.count(7) == 3 or 8 in p.path[:2] for p in drawn)
    assert {p.path.count(7) for p in drawn if 8 not in p.path[:2]} <= {3}
    assert all(len(p.path) == len(p.behaviour) == 4 for p in candidates)
    assert not own or any(p.path.count(7) == 3 for p in drawn)


def test_parents_are_the_ten_prefixes_that_the_model_values_most():
    told = {(action,): float(action) for action in range(12)}
    strategy = believing(told, actions=12)
    asked = []
    strategy._candidates = lambda parents, depth_bound: asked.extend(parents) or [Proposal((0,), "sample", (1.0,))]
    # All have one accuracy: the model decides.
    strategy.propose(measured(*told), num_paths=1, depth_bound=1, epochs=4)
    assert asked == [(action,) for action in range(11, 1, -1)]


def test_what_a_prior_values_is_a_parent_before_anything_was_trained():
    space = LabelSpace(["a", "b", "c"], max_layers=2)
    strategy = GuidedStrategy(space, GuidedOptions(), seed=0)
    paths = [(a, b) for a in range(3) for b in range(3)]
    nodes = [
        NodeStats(path, 1, (BudgetSums(4, 1, 0.3 + 0.2 * path.count(2)),))
        for path in [*((a,) for a in range(3)), *paths]
    ]
    [proposal] = strategy.propose(ReplayMemory(prior=ReplayMemory(nodes)), num_paths=1, depth_bound=2, epochs=4)
    assert proposal.path == (2, 2)
