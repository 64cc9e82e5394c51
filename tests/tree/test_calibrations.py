from __future__ import annotations

import pytest
from sqlalchemy import text

from replaytree.records import PathEvaluation
from replaytree.tree import Calibration, Episode, Pair, ReplayTree, SeparateTraining, check, estimate, repair
from replaytree.tree.engine import reading, writing


def joint(path, accuracies, epochs=8):
    return Episode(path, "sample", 3, epochs, True, PathEvaluation(accuracies, train_seconds=2.0))


def alone(episode, depth, accuracy, epochs=8):
    return SeparateTraining(episode, depth, epochs, PathEvaluation([accuracy], train_seconds=1.0))


@pytest.fixture
def calibrated(tree):
    """Read jointly 0.75 (depth 1) and 0.8 (depth 2); alone, the first reads 0.25."""
    tree.record([joint((0, 1), [0.75, 0.8]), joint((2,), [0.5])], state=b"", separate=[alone(0, 1, 0.25)])
    return tree


def test_a_tree_without_separate_trainings(tree):
    assert tree.calibration() == Calibration(biases={})
    tree.record([joint((0, 1), [0.75, 0.8])], state=b"")
    calibration = tree.calibration()
    assert (calibration.pairs, calibration.biases, calibration.share) == ((), {}, 0.0)
    assert [node.calibrated_accuracy for node in tree.nodes()] == [0.75, 0.8]


def test_one_separate_training_by_hand(calibrated):
    calibration = calibrated.calibration()
    # One pair of difference 0.5 weighs as much as the prior: 0.25 at depth 1, and there is no other witness beyond.
    assert calibration.pairs == (Pair(1, 8, 0.75, 0.25),)
    assert {point: bias.value for point, bias in calibration.biases.items()} == {
        (depth, 8): pytest.approx(0.25) for depth in (1, 2, 3)
    }
    # FLOPs are 1000 a layer; 8 epochs each.
    assert (calibration.joint_flops, calibration.separate_flops) == (8 * 3000, 8 * 1000)
    assert (calibration.separate_count, calibration.joint_seconds, calibration.separate_seconds) == (1, 4.0, 1.0)
    assert calibration.share == pytest.approx(0.2)


def test_the_stored_average_stays_and_the_calibrated_one_is_shown_beside_it(calibrated):
    node = calibrated.node((0, 1))
    assert (node.average_accuracy, node.evaluation_count) == (0.8, 1)
    assert node.calibrated_accuracy == pytest.approx(0.55)
    assert [stats.budgets[0].evaluation_count for stats in calibrated.node_stats()] == [1, 1, 1]


def test_the_calibrated_average_ranks(tree):
    # Depth 1 reads low by 0.375 (one pair, halved), depth 2 high (two pairs).
    tree.record(
        [joint((0, 1), [0.5, 0.7]), joint((1, 1), [0.4, 0.6])],
        state=b"",
        separate=[alone(0, 1, 0.9), alone(1, 2, 0.2)],
    )
    biases = tree.calibration().biases
    assert biases[1, 8].value < 0.0 < biases[2, 8].value
    expected = {(0,): 0.5, (0, 1): 0.7, (1,): 0.4, (1, 1): 0.6}
    expected = {path: value - biases[len(path), 8].value for path, value in expected.items()}
    order = sorted(expected, key=expected.get, reverse=True)
    assert order[0] == (0,), "the shallow one is first, though it reads lower"
    assert [node.path for node in tree.best()] == order
    assert [node.calibrated_accuracy for node in tree.best()] == [pytest.approx(expected[path]) for path in order]
    with reading(tree.engine) as connection:
        view = connection.execute(text("SELECT average_accuracy, calibrated_accuracy FROM best_prefixes")).all()
    raw = {(0,): 0.5, (0, 1): 0.7, (1,): 0.4, (1, 1): 0.6}
    assert [tuple(row) for row in view] == [(raw[path], pytest.approx(expected[path], abs=1e-4)) for path in order]


def test_biases_are_those_of_the_estimator_for_every_depth_and_budget(tree):
    tree.record([joint((0, 1), [0.75, 0.8])], state=b"", separate=[alone(0, 2, 0.7)])
    tree.record([joint((0, 1, 2), [0.7, 0.8, 0.9], epochs=4)], state=b"", separate=[alone(0, 3, 0.8, epochs=4)])
    pairs = [Pair(2, 8, 0.8, 0.7), Pair(3, 4, 0.9, 0.8)]
    points = [(depth, epochs) for epochs in (4, 8) for depth in (1, 2, 3)]
    expected = dict(zip(points, estimate(pairs, points), strict=True))
    assert tree.calibration().biases.keys() == expected.keys()
    for point, bias in tree.calibration().biases.items():
        assert (bias.value, bias.deviation) == pytest.approx((expected[point].value, expected[point].deviation))


def test_a_new_budget_is_calibrated_when_it_is_first_used(calibrated):
    calibrated.record([joint((2,), [0.5], epochs=4)], state=b"")
    # Half the epochs, half the covariance.
    assert calibrated.calibration().biases[1, 4].value == pytest.approx(0.125)
    assert check(calibrated.engine) == []


def test_a_separate_training_that_failed_is_kept_and_says_nothing(tree):
    failed = SeparateTraining(0, 1, 8, PathEvaluation([], failure="diverged", train_seconds=0.5))
    tree.record([joint((0, 1), [0.75, 0.8])], state=b"", separate=[failed])
    calibration = tree.calibration()
    assert (calibration.pairs, calibration.biases, calibration.separate_count) == ((), {}, 1)
    assert (calibration.separate_flops, calibration.separate_seconds) == (8000, 0.5)
    assert check(tree.engine) == []


def test_it_is_all_read_again(calibrated):
    assert ReplayTree.open(calibrated.engine, "first").calibration() == calibrated.calibration()


def test_each_search_has_its_own(calibrated, create):
    other = create(calibrated.engine, "other")
    other.record([joint((0,), [0.75])], state=b"")
    assert other.calibration().pairs == ()
    assert other.node((0,)).calibrated_accuracy == 0.75


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE calibrations SET bias = 0.125 WHERE depth = 2",
        "DELETE FROM calibrations WHERE depth = 2",
        "DELETE FROM calibrations",
        "UPDATE separate_evaluations SET accuracy = 0.5",
    ],
)
def test_biases_that_are_not_those_of_the_trainings_are_found_and_repaired(calibrated, statement):
    with writing(calibrated.engine) as connection:
        connection.execute(text(statement))
    problems = check(calibrated.engine)
    assert problems
    assert all(problem.repairable and "calibration at depth" in problem.invariant for problem in problems)
    assert repair(calibrated.engine).rows == len(problems)
    assert check(calibrated.engine) == []


def test_a_separate_training_of_what_its_episode_did_not_measure_is_found(calibrated):
    with writing(calibrated.engine) as connection:
        connection.execute(text("UPDATE separate_evaluations SET node_id = (SELECT id FROM nodes WHERE path = '2')"))
    assert ("separate evaluation", False) in {(p.invariant, p.repairable) for p in check(calibrated.engine)}


def test_one_reading_that_two_paths_share_is_one_pair(tree):
    copied = Episode((0, 2), "sample", 3, 8, True, PathEvaluation([0.75, 0.6], shared=1))
    both = [alone(0, 1, 0.25), alone(1, 1, 0.5)]
    tree.record([joint((0, 1), [0.75, 0.8]), copied], state=b"", separate=both)
    calibration = tree.calibration()
    assert calibration.pairs == (Pair(1, 8, 0.75, 0.25),)
    assert calibration.separate_count == 2
    assert check(tree.engine) == []
