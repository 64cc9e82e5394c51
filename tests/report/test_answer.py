import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.report.answer import answer, compare_with_random, wilson
from replaytree.report.reading import read_search


def test_the_answer_is_the_best_at_the_largest_budget(data):
    found = answer(data)
    assert [(step.label, step.params, step.flops, step.average_accuracy) for step in found.steps] == [
        ("conv1", 10, 1000, 0.75)
    ]
    assert (found.accuracy, found.evaluation_count, found.epochs, found.visit_count) == (0.75, 1, 8, 4)
    assert found.candidates == 3
    assert (found.interval.low, found.interval.high) == pytest.approx(wilson(0.75, 100))
    assert (found.interval.n, found.interval.basis) == (100, "validation images")


def test_without_images_there_is_no_interval_and_without_trainings_no_answer(grow, golden):
    assert answer(read_search(grow(golden, data_json=None))).interval is None
    assert answer(read_search(grow([], "empty"))) is None


def test_wilson_by_hand():
    # z^2 = 3.8415: middle (0.5 + 0.0192) / 1.0384 = 0.5; half 1.96 sqrt(0.0025 + 0.000096) / 1.0384 = 0.0962
    assert wilson(0.5, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    assert wilson(1.0, 180) == pytest.approx((180 / (180 + 3.84146), 1.0), abs=1e-5)
    with pytest.raises(ValueError, match="n is 0"):
        wilson(0.5, 0)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_wilson_holds_the_share_and_narrows_with_n(share, n):
    low, high = wilson(share, n)
    assert 0.0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1.0
    wider = wilson(share, max(1, n // 2))
    assert high - low <= wider[1] - wider[0] + 1e-12


def test_random_search_is_compared_after_as_many_trainings(grow, data, training):
    companion = grow(
        [training((0,), 0.65), training((1,), 0.3), training((2,), 0.99, epochs=8)][:2],
        "luck",
        config={"strategy": "random"},
    )
    found = compare_with_random(data, read_search(companion))
    # Two trainings each: the search had 0.6 and 0.9.
    assert (found.companion, found.trainings, found.search_best, found.random_best) == ("luck", 2, 0.9, 0.65)
    assert found.caution == "it trained for up to 4 epochs, this search for 8"


def test_a_companion_that_is_not_random_or_of_other_images_is_said_to_be(grow, data, golden):
    found = compare_with_random(data, read_search(grow(golden, "other", data_json=None)))
    assert found.caution == "its strategy is replay, not random, and its images, or their split, are others"


def test_a_random_search_is_its_own_comparison_and_others_have_none(grow, golden, data):
    own = compare_with_random(read_search(grow(golden, "luck", config={"strategy": "random"})), None)
    assert (own.companion, own.trainings, own.search_best, own.random_best) == (None, 4, 0.9, 0.9)
    assert compare_with_random(data, None) is None
