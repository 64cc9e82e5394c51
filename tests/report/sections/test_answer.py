import pytest

from replaytree.metric import ACCURACY, wilson
from replaytree.report.reading import read_search
from replaytree.report.sections.answer import Limit, answer, basis, what_counts


def test_the_answer_is_the_best_at_the_largest_budget(data):
    found = answer(data)
    assert [(step.label, step.params, step.flops, step.average_accuracy) for step in found.steps] == [
        ("conv1", 10, 1000, 0.75)
    ]
    assert (found.accuracy, found.evaluation_count, found.epochs, found.visit_count) == (0.75, 1, 8, 4)
    assert (found.candidates, found.measured) == (3, 5)
    assert found.interval == pytest.approx(wilson(0.75, 100))
    assert found.at_least == pytest.approx(wilson(0.75, 100, z=1.0)[0])
    assert (found.images, found.noise) == (100, None)
    assert basis(found, ACCURACY) == "n = 100 validation images"


def test_without_images_there_is_no_interval_and_without_trainings_no_answer(grow, golden):
    assert answer(read_search(grow(golden, data_json=None))).interval is None
    assert answer(read_search(grow([], "empty"))) is None


def test_trainings_and_images_are_both_counted_where_both_are_known(grow, training):
    found = answer(read_search(grow([training((0,), 0.5), training((0,), 0.7)])))
    # 0.6 of 0.5 and 0.7: squares 0.02 over an error of 0.4 squared, one repeat.
    assert found.noise == pytest.approx((0.02 / 0.16) ** 0.5)
    assert basis(found, ACCURACY) == "n = 100 validation images, 2 trainings"
    assert "trained again, a prefix’s error rate changes by about 35% of its value" in what_counts(found, ACCURACY)
    assert "100 validation images" in what_counts(found, ACCURACY)
    assert found.interval[0] < wilson(0.6, 100)[0]
    assert found.interval[1] > wilson(0.6, 100)[1]


def test_the_limits_of_the_search_and_whether_the_best_keeps_them(grow, golden):
    config = {"max_params": 20, "target_params": 5, "max_flops": None, "max_ram": 7, "target_flops": 999}
    assert answer(read_search(grow(golden, config=config))).limits == (
        Limit("--max-params", 20, 10),
        Limit("--max-ram", 7, None),
        Limit("--target-params", 5, 10),
        Limit("--target-flops", 999, 1000),
    )
    assert [limit.kept for limit in answer(read_search(grow(golden, "again", config=config))).limits] == [
        True, None, False, False,
    ]  # fmt: skip


def test_a_limit_that_is_met_exactly_is_kept():
    assert [Limit("--max-params", 20, cost).kept for cost in (20, 21, None)] == [True, False, None]
