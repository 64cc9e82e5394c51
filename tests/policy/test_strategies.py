"""What holds for every strategy, and what the poster's does."""

import copy
import math

import numpy as np
import pytest
import torch

from replaytree.config import SCORED_STRATEGIES, STRATEGY_OPTIONS
from replaytree.config.option import made
from replaytree.policy import STRATEGIES, ReplayMemory
from replaytree.records import BudgetSums, NodeStats, PathEvaluation, Proposal
from replaytree.space import LabelSpace

SPACE = LabelSpace(["a", "b", "c", "d"], max_layers=4)


def accuracy(path):
    """Action 1 is good everywhere, best after itself."""
    return sum(action == 1 for action in path) / 8 + 0.25


def new(name, space=SPACE, seed=0, **options):
    return STRATEGIES[name](space, made(STRATEGY_OPTIONS[name], options), seed=seed)


def play(strategy, memory, turns, *, num_paths=2, depth_bound=4):
    """A search in memory: the same sums a tree keeps."""
    history = []
    for _ in range(turns):
        proposals = strategy.propose(memory, num_paths=num_paths, depth_bound=depth_bound, epochs=4)
        evaluations = [
            PathEvaluation(p.rewards or [accuracy(p.path[: t + 1]) for t in range(len(p.path))]) for p in proposals
        ]
        strategy.observe(memory, proposals, evaluations)
        for proposal in proposals:
            for t in range(len(proposal.path)):
                prefix = proposal.path[: t + 1]
                old = memory.get(prefix)
                visits = (old.visit_count if old else 0) + 1
                count = (old.evaluation_count if old else 0) + (proposal.rewards is None)
                memory.update([NodeStats(prefix, visits, (BudgetSums(4, count, count * accuracy(prefix)),))])
        history += proposals
    return history


@pytest.mark.parametrize("name", SCORED_STRATEGIES)
def test_a_resumed_strategy_goes_on_as_if_never_stopped(name):
    strategy, memory = new(name, continue_=0.3), ReplayMemory()
    play(strategy, memory, 5)
    resumed = new(name, continue_=0.3, seed=99)
    resumed.load_state_dict(copy.deepcopy(strategy.state_dict()))
    same = ReplayMemory(memory)
    assert play(strategy, memory, 8) == play(resumed, same, 8)


@pytest.mark.parametrize("name", SCORED_STRATEGIES)
def test_what_another_has_proposed_is_learned_from_alike(name):
    # A strategy that proposed from another tree before learns the same as one that has proposed nothing.
    memory = ReplayMemory(
        [NodeStats((0,), 2, (BudgetSums(4, 2, 1.5),)), NodeStats((0, 1), 1, (BudgetSums(4, 1, 0.5),))]
    )
    proposals = [Proposal((0, 1), "sample", (0.25, 0.25)), Proposal((1, 0), "sample", (0.25, 0.25))]
    states = []
    for beforehand in (False, True):
        strategy = new(name, baseline="parent")
        start = copy.deepcopy(strategy.state_dict())
        if beforehand:
            strategy.propose(ReplayMemory(), num_paths=1, depth_bound=4, epochs=4)
            strategy.load_state_dict(start)
        strategy.observe(memory, proposals, [PathEvaluation([0.5, 0.25]), PathEvaluation([0.25, 0.75])])
        states.append(strategy.state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=0.0, atol=0.0)
    if name != "random":
        assert repr(states[0]) != repr(start)


@pytest.mark.parametrize("name", SCORED_STRATEGIES)
def test_paths_are_legal_and_within_the_bound(name):
    space = LabelSpace(["a", "b"], max_layers=4, legal=lambda prefix: (bool(prefix), True))
    strategy = new(name, space)
    for bound in (1, 3):
        for proposal in strategy.propose(ReplayMemory(), num_paths=20, depth_bound=bound, epochs=4):
            assert len(proposal.path) == len(proposal.behaviour) == bound
            assert proposal.path[0] == 1


def test_replay_and_continue_happen_as_often_as_asked():
    strategy, memory = new("replay", replay=0.5, continue_=0.25), ReplayMemory()
    play(strategy, memory, 1)
    sources = [p.source for p in strategy.propose(memory, num_paths=2000, depth_bound=4, epochs=4)]
    assert sources.count("replay") / 2000 == pytest.approx(0.5, abs=0.05)
    assert sources.count("continue") / 2000 == pytest.approx(0.25, abs=0.05)


def test_a_replayed_path_brings_the_stored_averages():
    strategy, memory = new("replay", replay=1.0, continue_=0.0), ReplayMemory()
    play(strategy, memory, 1)
    for proposal in strategy.propose(memory, num_paths=20, depth_bound=4, epochs=4):
        assert proposal.source == "replay"
        assert proposal.rewards == tuple(accuracy(proposal.path[: t + 1]) for t in range(len(proposal.path)))


def test_a_continued_path_starts_with_a_stored_prefix_and_is_shorter_than_the_bound_before():
    strategy, memory = new("replay", replay=0.0, continue_=1.0), ReplayMemory()
    play(strategy, memory, 1, depth_bound=3)
    for proposal in strategy.propose(memory, num_paths=20, depth_bound=3, epochs=4):
        assert proposal.source == "continue"
        assert proposal.path[:1] in memory
        assert len(proposal.path) == 3


def test_without_memory_everything_is_sampled():
    strategy = new("replay", replay=0.5, continue_=0.5)
    assert {p.source for p in strategy.propose(ReplayMemory(), num_paths=10, depth_bound=4, epochs=4)} == {"sample"}


def test_the_first_episode_teaches_nothing_for_want_of_a_baseline():
    strategy = new("replay", entropy=0.0)
    proposals = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=4, epochs=4)
    before = {key: value.clone() for key, value in strategy.state_dict()["controller"].items()}
    update = strategy.observe(ReplayMemory(), proposals, [PathEvaluation([0.5] * 4)])
    assert update.loss == 0.0
    for key, value in strategy.state_dict()["controller"].items():
        torch.testing.assert_close(value, before[key])


def test_replays_leave_the_baseline_alone():
    strategy, memory = new("replay", replay=0.0, continue_=0.0), ReplayMemory()
    play(strategy, memory, 3)
    before = strategy.state_dict()["mean"]
    replaying = new("replay", replay=1.0, continue_=0.0)
    replaying.load_state_dict(strategy.state_dict())
    play(replaying, memory, 3)
    assert replaying.state_dict()["mean"] == before


def test_a_depth_bound_of_1_is_a_bandit_that_finds_the_best_arm():
    strategy = new("replay", policy_learning_rate=0.02, replay=0.25)
    history = play(strategy, ReplayMemory(), 80, num_paths=4, depth_bound=1)
    late = [p.path[0] for p in history[-80:] if p.source == "sample"]
    assert late.count(1) / len(late) > 0.8


def test_a_failure_counts_as_reward_0():
    strategy = new("replay", gamma=0.0, replay=0.0, continue_=0.0)
    proposals = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=4, epochs=4)
    strategy.observe(
        ReplayMemory(), proposals, [PathEvaluation([0.5, 0.25], failure="diverged", failure_text="loss nan")]
    )
    assert strategy.state_dict()["mean"] == [0.5, 0.25, 0.0, 0.0]


def test_a_stale_proposal_is_weighed_by_how_likely_it_has_become():
    strategy = new("replay", gamma=0.0, replay=0.0, entropy=0.0, policy_learning_rate=0.05)
    [stale] = strategy.propose(ReplayMemory(), num_paths=1, depth_bound=1, epochs=4)
    others = strategy.propose(ReplayMemory(), num_paths=30, depth_bound=1, epochs=4)
    for other in others:
        strategy.observe(ReplayMemory(), [other], [PathEvaluation([0.1 if other.path == stale.path else 0.9])])
    pi, mu = strategy.probabilities(())[stale.path[0]], stale.behaviour[0]
    assert pi < 0.9 * mu
    [mean] = strategy.state_dict()["mean"][:1]
    update = strategy.observe(ReplayMemory(), [stale], [PathEvaluation([0.5])])
    assert update.loss == pytest.approx(-(pi / mu) * (0.5 - mean) * math.log(pi), rel=1e-5)


@pytest.mark.parametrize("warmup", [1, 100])
def test_guided_proposes_nothing_that_is_under_way(warmup):
    space = LabelSpace(["a", "b"], max_layers=3)
    strategy = new("guided", space, warmup=warmup)
    memory = ReplayMemory([NodeStats((0,), 1, (BudgetSums(4, 1, 0.5),))])
    pending = []
    for _ in range(7):
        [proposal] = strategy.propose(memory, num_paths=1, depth_bound=3, epochs=4, pending=pending)
        pending.append(proposal.path)
    assert len(set(pending)) == 7


def test_puct_counts_what_is_under_way_as_visits():
    nodes = [NodeStats((action,), 1, (BudgetSums(4, 1, 0.5),)) for action in range(4)]
    strategy = new("puct", exploration=1.0)

    def first(pending):
        [proposal] = strategy.propose(ReplayMemory(nodes), num_paths=1, depth_bound=1, epochs=4, pending=pending)
        return proposal.path

    # All averages are equal: the prior decides, until visits outweigh it.
    favourite = first([])
    assert first([favourite] * 3) != favourite


def test_the_parents_value_as_a_baseline():
    memory = ReplayMemory([NodeStats((1,), 1, (BudgetSums(4, 2, 1.0),)), NodeStats((1, 1), 1)])
    strategy = new("replay", baseline="parent", return_kind="best-reached")
    # (1,) has 0.5 on average; (1, 1) was never measured, so depth 3 has the average of earlier paths: none, so G_3.
    assert strategy._baseline(memory, (1, 1, 1), np.array([0.7, 0.7, 0.6])).tolist() == [0.7, 0.5, 0.6]


def test_the_warm_up_of_guided_is_the_beginning_of_random_search():
    guided, random = (new(name, seed=3, warmup=5) for name in ("guided", "random"))
    paths = [[p.path for p in play(strategy, ReplayMemory(), 5, num_paths=1)] for strategy in (guided, random)]
    assert paths[0] == paths[1]
