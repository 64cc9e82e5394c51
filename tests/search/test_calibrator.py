from __future__ import annotations

import pytest

from replaytree.config import Budget
from replaytree.records import BudgetSums, NodeStats, PathEvaluation
from replaytree.search.calibrator import Calibrator
from replaytree.tree import Calibration, Pair, estimate

BUDGET = Budget(8)


class LinearSpace:
    """Two layers; a prefix of d layers costs d FLOPs."""

    num_actions = 2
    max_layers = 4

    def cost(self, prefix):
        return 1, len(prefix)


class Alone:
    """Reads 0.25 lower than a joint training of 0.75; remembers what it was asked for."""

    def __init__(self, evaluation=None):
        self.asked = []
        self.evaluation = evaluation or PathEvaluation([0.5], train_seconds=1.0)

    def evaluate_alone(self, path, *, budget, seed):
        self.asked.append((path, budget, seed))
        return self.evaluation


def episode(path, accuracies=None, **failure):
    return {0: (path, PathEvaluation([0.75] * len(path) if accuracies is None else accuracies, **failure))}


def test_the_share_is_kept_at_every_moment_and_used_up_in_the_end():
    alone = Alone()
    calibrator = Calibrator(LinearSpace(), alone, share=0.25)
    for number in range(1, 101):
        calibrator.after(episode((0, 1, 0, 1)), budget=BUDGET, seed=number)
        assert sum(len(path) for path, _, _ in alone.asked) <= 0.25 * 4 * number
    assert sum(len(path) for path, _, _ in alone.asked) > 0.25 * 4 * 100 - 4
    assert all(path == (0, 1, 0, 1)[: len(path)] and budget == BUDGET for path, budget, _ in alone.asked)
    assert {len(path) for path, _, _ in alone.asked} == {1, 2, 3, 4}


def test_a_separate_training_says_which_prefix_of_which_episode_it_is_of():
    alone = Alone()
    calibrator = Calibrator(LinearSpace(), alone, share=1.0)
    both = {3: episode((0, 1))[0], 5: episode((1,))[0]}
    first, second = calibrator.after(both, budget=BUDGET, seed=10)
    assert (first.episode, first.depth, first.epochs, first.evaluation) == (
        3,
        len(alone.asked[0][0]),
        8,
        alone.evaluation,
    )
    assert (second.episode, second.depth) == (5, 1)
    assert [seed for _, _, seed in alone.asked] == [13, 15]


def test_nothing_is_trained_without_a_share_or_a_trainer():
    alone = Alone()
    assert Calibrator(LinearSpace(), alone, share=0.0).after(episode((0, 1)), budget=BUDGET, seed=0) == []
    assert Calibrator(LinearSpace(), None, share=0.5).after(episode((0, 1)), budget=BUDGET, seed=0) == []
    assert alone.asked == []


def test_a_joint_training_that_failed_is_not_followed():
    alone = Alone()
    failed = episode((0, 1), [0.75], failure="diverged")
    assert Calibrator(LinearSpace(), alone, share=1.0).after(failed, budget=BUDGET, seed=0) == []
    assert alone.asked == []


def test_a_separate_training_that_failed_costs_and_says_nothing():
    alone = Alone(PathEvaluation([], failure="diverged", failure_text="loss is nan"))
    calibrator = Calibrator(LinearSpace(), alone, share=0.5)
    for _ in range(4):
        calibrator.after(episode((0,)), budget=BUDGET, seed=0)
    assert len(alone.asked) == 2
    assert calibrator.of_training(PathEvaluation([0.75]), epochs=8).accuracies == (0.75,)


def test_what_strategies_see_by_hand():
    # One pair at depth 1 and 8 epochs: half of 0.75 - 0.25, at 4 epochs a quarter.
    calibrator = Calibrator(LinearSpace(), None, share=0.0)
    calibrator.load(Calibration(pairs=(Pair(1, 8, 0.75, 0.25),)))
    node = NodeStats((0,), 5, (BudgetSums(4, 2, 1.0), BudgetSums(8, 2, 1.5)))
    assert [sums.average_accuracy for sums in calibrator.of_node(node).budgets] == pytest.approx([0.375, 0.5])
    seen = calibrator.of_training(PathEvaluation([0.5, 0.1]), epochs=8)
    assert seen.accuracies == pytest.approx((0.25, 0.0)), "an accuracy stays within [0, 1]"


def test_averages_stay_within_0_and_1():
    calibrator = Calibrator(LinearSpace(), None, share=0.0)
    calibrator.load(Calibration(pairs=(Pair(1, 8, 0.25, 0.75),)))
    node = NodeStats((0,), 5, (BudgetSums(8, 3, 2.7),))
    assert calibrator.of_node(node).average_accuracy == 1.0


def test_loading_continues_where_the_search_stood():
    def run(calibrator, numbers):
        return [calibrator.after(episode((0, 1, 0)), budget=BUDGET, seed=n) for n in numbers]

    whole = Calibrator(LinearSpace(), Alone(), share=0.3)
    trained = [training for trainings in run(whole, range(10)) for training in trainings]
    second = Calibrator(LinearSpace(), Alone(), share=0.3)
    second.load(
        Calibration(
            pairs=tuple(Pair(t.depth, 8, 0.75, 0.5) for t in trained),
            joint_flops=8 * 30,
            separate_flops=8 * sum(t.depth for t in trained),
        )
    )
    assert run(second, range(10, 30)) == run(whole, range(10, 30))


def test_strategies_see_what_the_tree_would_store():
    pairs = (Pair(1, 8, 0.75, 0.5), Pair(3, 4, 0.5, 0.625))
    calibrator = Calibrator(LinearSpace(), None, share=0.0)
    calibrator.load(Calibration(pairs=pairs))
    stored = estimate(pairs, [(depth, 8) for depth in (1, 2, 3, 4)])
    seen = calibrator.of_training(PathEvaluation([0.5] * 4), epochs=8)
    assert seen.accuracies == pytest.approx([0.5 - bias.value for bias in stored])


def test_a_prefix_that_an_earlier_path_shares_is_not_trained_by_itself():
    alone = Alone()
    calibrator = Calibrator(LinearSpace(), alone, share=1.0)
    free = Calibrator(LinearSpace(), Alone(), share=1.0)
    for _ in range(20):
        calibrator.after(episode((0, 1, 0, 1), shared=2), budget=BUDGET, seed=0)
        free.after(episode((0, 1, 0, 1)), budget=BUDGET, seed=0)
    assert {len(path) for path, _, _ in alone.asked} == {3, 4}
    assert {len(path) for path, _, _ in free._trainer.asked} > {1}
    assert calibrator.after(episode((0, 1, 0, 1), shared=4), budget=BUDGET, seed=0) == []
