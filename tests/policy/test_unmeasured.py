"""What each strategy makes of trainings that measured the whole path alone, by hand."""

import math

import numpy as np
import pytest
import torch

from replaytree.config import DIFFERENTIABLE_STRATEGIES, STRATEGY_NAMES
from replaytree.config.option import made
from replaytree.config.strategies.evolution import EvolutionOptions
from replaytree.config.strategies.guided import GuidedOptions
from replaytree.config.strategies.puct import PuctOptions
from replaytree.config.strategies.q_learning import QLearningOptions
from replaytree.config.strategies.reinforce import ReinforceOptions
from replaytree.config.strategies.replay import ReplayOptions
from replaytree.policy import PuctStrategy, ReplayMemory, ReplayStrategy
from replaytree.policy.evolution import EvolutionStrategy
from replaytree.policy.guided import GuidedStrategy
from replaytree.policy.q_learning import QLearningStrategy
from replaytree.policy.replay import reinforce
from replaytree.policy.value_model import Predicted
from replaytree.records import BudgetSums, NodeStats, PathEvaluation, Proposal
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c", "d"], max_layers=2)
LN4 = math.log(4)


def node(path, visits, average=None, *, count=1, epochs=4):
    return NodeStats(path, visits, () if average is None else (BudgetSums(epochs, count, count * average),))


def sampled(path):
    return Proposal(path, "sample", (0.25,) * len(path))


# (0, 1) once at 0.6; (0, 2) twice at 0.8 on average; (1, 0) failed.
NODES = [
    node((0,), 3), node((1,), 1), node((0, 1), 1, 0.6), node((0, 2), 2, 0.8, count=2), node((1, 0), 1),
]  # fmt: skip


def uniform(strategy):
    """pi = 1/4 everywhere, and a baseline of 0.5."""
    with torch.no_grad():
        for weights in strategy.state_dict()["controller"].values():
            weights.zero_()
    strategy.load_state_dict(strategy.state_dict() | {"mean": [0.5, 0.5], "count": [1, 1]})
    return strategy


def test_a_prefix_counts_with_what_its_shortest_measured_continuations_reached():
    memory = ReplayMemory([*NODES, node((0, 2, 3), 1, 0.1)])
    assert memory.reached((0,)) == pytest.approx((0.6 + 2 * 0.8) / 3)
    assert memory.reached((0, 2)) == pytest.approx(0.8)
    assert memory.reached((1,)) is memory.reached((1, 0)) is memory.reached((3,)) is None
    # In a path, its own continuation; behind a failure nothing.
    assert memory.rewards((0, 1)) == pytest.approx((0.6, 0.6))
    assert memory.rewards((0, 2, 3)) == pytest.approx((0.8, 0.8, 0.1))
    assert memory.rewards((1, 0)) == (0.0, 0.0)
    # Once it is measured itself, that counts.
    memory.update([node((0,), 4, 0.3)])
    assert memory.reached((0,)) == pytest.approx(0.3)
    assert memory.rewards((0, 1)) == pytest.approx((0.3, 0.6))


def test_whether_prefixes_are_measured_is_seen_from_the_nodes():
    assert ReplayMemory().measures_prefixes
    assert ReplayMemory([node((0,), 1, 0.5), node((0, 1), 1, 0.6)]).measures_prefixes
    # A failure measures nothing, and tells nothing.
    assert ReplayMemory([node((1,), 1), node((1, 0), 1)]).measures_prefixes
    memory = ReplayMemory([node((1,), 1)])
    memory.update([node((1, 0), 1, 0.5)])
    assert not memory.measures_prefixes


def test_a_path_was_tried_where_an_episode_ended_or_measured_it():
    memory = ReplayMemory(NODES)
    assert {n.path for n in memory if memory.is_tried(n.path)} == {(0, 1), (0, 2), (1, 0)}
    assert not memory.is_tried((2,))
    memory.update([node((1,), 2)])
    assert memory.is_tried((1,))


def test_a_prior_weighs_less_with_every_training():
    prior = ReplayMemory([node((3,), 0), node((3, 3), 0, 0.5)])
    # Three of whole paths, as a prior weighs as much as ten.
    assert ReplayMemory(NODES, prior=prior).prior_share == pytest.approx(10 / 13)


def test_replay_rewards_every_step_with_what_the_path_reached():
    strategy = uniform(ReplayStrategy(SPACE, made(ReplayOptions, {"gamma": 0.0}), seed=0))
    update = strategy.observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([None, 0.75])])
    # Both advantages are 0.75 - 0.5; 0 for the first would leave -0.25.
    assert update.loss == pytest.approx((0.25 + 0.25) * LN4)
    assert strategy.state_dict()["mean"] == [0.625, 0.625]


def test_the_parents_baseline_is_what_the_parent_reached():
    options = {"gamma": 0.0, "baseline": "parent"}
    strategy = uniform(ReplayStrategy(SPACE, made(ReplayOptions, options), seed=0))
    update = strategy.observe(ReplayMemory(NODES), [sampled((0, 3))], [PathEvaluation([None, 1.0])])
    # (0,) has reached 2.2 / 3; before the first layer there is the average of 0.5.
    assert update.loss == pytest.approx((0.5 + 1.0 - 2.2 / 3) * LN4)


def test_reinforce_rewards_the_whole_path_as_it_does_else():
    found = []
    for first in (None, 0.1):
        strategy = uniform(reinforce(SPACE, made(ReinforceOptions, {}), seed=0))
        found.append(strategy.observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([first, 0.75])]).loss)
    assert found == [pytest.approx(0.5 * LN4)] * 2


def test_puct_values_a_child_by_its_continuations():
    strategy = PuctStrategy(SPACE, made(PuctOptions, {"exploration": 0.0}), seed=0)
    # Scaled from [0.5, 0.9]: (2,) has 1, (1,) 0.75, and what is unknown 0.5.
    nodes = [node((0,), 1, 0.5), node((1,), 1, 0.8), node((2,), 1), node((2, 0), 1, 0.9)]
    [proposal] = strategy.propose(ReplayMemory(nodes), num_paths=1, depth_bound=1, epochs=4)
    assert proposal.path == (2,)


def test_q_learning_trains_a_path_that_was_only_passed_through():
    strategy = QLearningStrategy(SPACE, made(QLearningOptions, {}), seed=0)
    passed = [each for a in range(4) for each in (node((a,), 1), node((a, 0), 1, 0.5))]
    [proposal] = strategy.propose(ReplayMemory(passed), num_paths=1, depth_bound=1, epochs=4)
    assert (proposal.source, proposal.rewards) == ("sample", None)
    # Only once it was trained itself it is known, and the schedule counts it.
    strategy.observe(ReplayMemory(passed), [proposal], [PathEvaluation([0.25])])
    assert strategy.state_dict()["trained"] == 1
    known = [*passed, *(node((a,), 2, 0.25) for a in range(4))]
    [again] = strategy.propose(ReplayMemory(known), num_paths=1, depth_bound=1, epochs=4)
    assert (again.source, again.rewards) == ("replay", (0.25,))


def test_q_learning_is_rewarded_for_the_whole_path():
    strategy = QLearningStrategy(SPACE, made(QLearningOptions, {"q_rate": 0.5, "q_replays": 1}), seed=0)
    strategy.observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([None, 0.9])])
    # From 0.5, half-way to 0.9.
    assert 0.7 in [pytest.approx(v) for values in strategy.state_dict()["values"] for v in values]


def test_evolution_takes_the_whole_path_as_fitness():
    strategy = EvolutionStrategy(SPACE, made(EvolutionOptions, {}), seed=0)
    strategy.observe(ReplayMemory(), [sampled((1, 2))], [PathEvaluation([None, 0.75])])
    assert strategy.state_dict()["population"] == [[[1, 2], 0.75]]


class Believed:
    """A value model that believes what it is told: a mean for each prefix, else 0."""

    unit = 1.0

    def __init__(self, told):
        self.told = told
        self.paths = [(0, 0)]

    def fit(self, table):
        pass

    def believe(self, prefixes, *, epochs):
        pass

    def predicted(self, prefixes, *, epochs):
        mean = np.array([self.told.get(prefix, 0.0) for prefix in prefixes])
        return Predicted(mean, np.full(len(prefixes), 1e-3))

    def state(self):
        return {}

    def load_state(self, state):
        pass


def guided(told, *, noise=0.0):
    strategy = GuidedStrategy(SPACE, made(GuidedOptions, {"warmup": 1, "candidates": 400}), seed=0)
    strategy._values = Believed(told)
    strategy.propose(ReplayMemory(), num_paths=1, depth_bound=1, epochs=4)
    strategy.load_state_dict(strategy.state_dict() | {"noise": [noise, int(noise > 0)]})
    return strategy


def test_a_candidate_of_guided_is_worth_what_its_training_measures():
    told = {(1,): 0.9, (2, 1): 0.8, (2, 3): 0.7}
    whole = [node((0,), 1), node((0, 0), 1, 0.5)]
    every = [node((0,), 1, 0.5), node((0, 0), 1, 0.5)]
    for nodes, chosen in ((every, (1,)), (whole, (2, 1))):
        [proposal] = guided(told).propose(ReplayMemory(nodes), num_paths=1, depth_bound=2, epochs=4)
        assert proposal.path[: len(chosen)] == chosen
    # Two at once do not repeat a path, but may share a beginning.
    pair = guided(told).propose(ReplayMemory(whole), num_paths=2, depth_bound=2, epochs=4)
    assert [proposal.path for proposal in pair] == [(2, 1), (2, 3)]


def test_guided_trains_a_leader_again_as_it_is():
    nodes = [node((0,), 1), node((1,), 1), node((0, 0), 1, 0.9), node((1, 0), 1, 0.89)]
    longer = LabelSpace(["a", "b", "c", "d"], max_layers=3)
    strategy = guided({}, noise=1.0)
    strategy._space, strategy._proposed = longer, 4
    strategy._nodes.take_in(ReplayMemory(nodes))
    again = strategy._guided(ReplayMemory(nodes), 2, 4, {})
    assert again == Proposal((0, 0), "continue", (1.0, 1.0))


def test_guided_learns_the_noise_of_what_was_measured():
    strategy = guided({})
    strategy.observe(ReplayMemory(NODES), [sampled((0, 1))], [PathEvaluation([None, 0.6])])
    assert strategy.state_dict()["noise"][1] == 1


def test_every_strategy_is_here():
    here = {"replay", "reinforce", "puct", "q-learning", "evolution", "guided", "random"}
    assert set(STRATEGY_NAMES) == here | set(DIFFERENTIABLE_STRATEGIES), "those learn nothing from scores"
