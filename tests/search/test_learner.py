"""What a search has learned, turn by turn, without a search around it."""

from __future__ import annotations

import pytest
import torch

from replaytree.config import Budget, Pruning, SearchConfig
from replaytree.policy import PolicyUpdate
from replaytree.records import BudgetSums, NodeStats, PathEvaluation, Proposal
from replaytree.search.learner import Learner, Lesson
from replaytree.search.turns import Turn
from replaytree.space import LabelSpace, SoftReward
from replaytree.tree import ReplayTree

SPACE = LabelSpace(["good", "bad"], max_layers=3)


@pytest.fixture
def config():
    return SearchConfig.from_options(
        {
            "dataset": None, "strategy": "random", "min_layers": 1, "max_layers": 3, "grow_every": 2,
            "epochs_first": 2, "epochs_last": 2, "prune": True,
        }
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path, config):
    return ReplayTree.create(
        f"sqlite:///{tmp_path}/tree.db", "first", space=SPACE, seed=0, config_json=config.to_json(), versions={}
    )


def learner_of(config):
    reward = SoftReward(SPACE, None, None, config.objective.cost_weight)
    return Learner(config, SPACE, reward=reward)


def trained(turn):
    """0.75 for a path of `good` alone, 0.5 otherwise; the checkpoint was reached with half of that."""
    values = [0.5 if 1 in path else 0.75 for path in turn.paths]
    return [
        PathEvaluation([value] * len(path), checkpoint_accuracy=value / 2)
        for path, value in zip(turn.paths, values, strict=True)
    ]


def record(learner, tree, turn):
    lesson = learner.learn(turn, trained(turn))
    nodes = tree.record(lesson.episodes, state=learner.state(), checkpoints=lesson.checkpoints)
    learner.recorded(lesson, nodes, tree=tree)


def test_a_turn_counts_when_it_is_recorded(config, tree):
    learner = learner_of(config)
    first, second = learner.propose(2), learner.propose(1)
    assert (first.number, second.number, learner.proposed_count) == (0, 2, 3)
    learner.learn(first, trained(first))
    assert (learner.episode_count, learner.best_accuracy, len(learner.memory)) == (0, None, 0)
    learner = learner_of(config)
    turn = Turn(0, [Proposal((0,), "sample", (0.5,)), Proposal((1,), "sample", (0.5,))], 1, Budget(2, checkpoint=1))
    record(learner, tree, turn)
    assert (learner.episode_count, learner.training_count, learner.best_accuracy) == (2, 2, 0.75)
    assert list(learner.memory) == tree.node_stats()
    assert learner.pruning == Pruning([(2, 0.375), (2, 0.25)]) == Pruning(tree.checkpoints())
    # Two episodes raise the bound.
    assert learner.propose(1).depth_bound == 2


def test_what_was_learned_and_not_recorded_is_forgotten(config, tree):
    learner = learner_of(config)
    record(learner, tree, learner.propose(1))
    before, growth, pruning = learner.state(), learner.growth, Pruning(tree.checkpoints())
    turn = learner.propose(1)
    learner.learn(turn, trained(turn))
    assert learner.state() != before
    assert (learner.growth, learner.pruning) != (growth, pruning)
    learner.restore(tree)
    assert learner.state() == before == tree.strategy_state()
    assert (learner.growth, learner.pruning, learner.proposed_count, learner.episode_count) == (growth, pruning, 1, 1)
    assert learner.propose(1) == turn


def test_where_nothing_was_recorded_a_search_begins_anew(config, tree):
    learner = learner_of(config)
    before, turn = learner.state(), learner.propose(1)
    learner.learn(turn, trained(turn))
    learner.restore(tree)
    assert (learner.state(), learner.propose(1)) == (before, turn)


def test_the_episodes_of_a_lesson():
    proposals = [Proposal((0,), "sample", (0.5,)), Proposal((1,), "replay", (0.5,), rewards=(0.5,))]
    evaluations = [PathEvaluation([0.75], epochs=1), PathEvaluation([0.5])]
    turn = Turn(4, proposals, 2, Budget(8, checkpoint=1))
    stopped, replayed = Lesson(turn, evaluations, PolicyUpdate(0.25, 0.125), []).episodes
    assert (stopped.epochs, stopped.trained, stopped.evaluation) == (1, True, evaluations[0])
    assert (replayed.epochs, replayed.trained, replayed.evaluation) == (8, False, None)
    assert {(e.depth_bound, e.policy_loss, e.entropy) for e in (stopped, replayed)} == {(2, 0.25, 0.125)}


def test_the_temperature_of_draws_is_that_of_the_strategy(tree):
    nodes = [((0,), 0.9), ((1,), 0.5)]

    def drawn(**options):
        learner = learner_of(SearchConfig(dataset=None, min_layers=1, max_layers=3, **options))
        learner.memory.update([NodeStats(path, 1, (BudgetSums(2, 1, accuracy),)) for path, accuracy in nodes])
        generator = torch.Generator().manual_seed(0)
        return [learner.memory.draw(generator) for _ in range(100)].count((1,))

    # The worse of two, at 0.5 of 0.9: 1 / (1 + e^(0.4 / t)) of the draws.
    assert drawn(strategy="replay") == 0
    assert 35 <= drawn(strategy="replay", temperature=10.0) <= 65
    restored = learner_of(SearchConfig(dataset=None, min_layers=1, max_layers=3, strategy="replay", temperature=10.0))
    restored.restore(tree)
    assert restored.memory._temperature == 10.0
