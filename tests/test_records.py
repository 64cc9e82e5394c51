import pytest

from replaytree.errors import EvaluationError
from replaytree.records import Mixed, PathEvaluation, filled


def test_accuracies_become_a_tuple_of_floats():
    assert PathEvaluation([1, 0.5]).accuracies == (1.0, 0.5)


@pytest.mark.parametrize(
    ("accuracies", "message"),
    [
        ([0.5, 93.1], r"accuracy at depth 2 is 93.1; .*\(percent\? divide by 100\)"),
        ([-0.1], "accuracy at depth 1 is -0.1"),
        ([float("nan")], "accuracy at depth 1 is nan"),
    ],
)
def test_an_accuracy_is_a_fraction(accuracies, message):
    with pytest.raises(EvaluationError, match=message):
        PathEvaluation(accuracies)


def test_what_was_not_measured_is_none_and_never_0():
    found = PathEvaluation([None, 0.25, None, 0.125], best_accuracies=[None, 0.5, None, 0.75])
    assert (found.accuracies, found.best_accuracies) == ((None, 0.25, None, 0.125), (None, 0.5, None, 0.75))
    assert found.highest == 0.25
    assert PathEvaluation([None], failure="error").highest is PathEvaluation([], failure="error").highest is None
    with pytest.raises(EvaluationError, match="best_accuracies lack others than accuracies"):
        PathEvaluation([None, 0.25], best_accuracies=[0.5, None])


def test_an_unmeasured_prefix_takes_its_shortest_measured_continuation_and_0_behind_the_last():
    assert filled([None, 0.25, None, None, 0.5], 5) == (0.25, 0.25, 0.5, 0.5, 0.5)
    assert filled([0.75, None, 0.5], 5) == (0.75, 0.5, 0.5, 0.0, 0.0)
    assert filled([], 2) == filled([None], 2) == (0.0, 0.0)
    assert filled([0.0, 1.0], 2) == (0.0, 1.0)


def test_a_failure_is_of_a_known_kind():
    with pytest.raises(EvaluationError, match="failure is 'tired'; it must be one of diverged, out_of_memory, error"):
        PathEvaluation([], failure="tired")


@pytest.mark.parametrize("shared", [-1, 3])
def test_no_more_is_shared_than_was_measured(shared):
    assert PathEvaluation([0.5, 0.6], shared=2).shared == 2
    with pytest.raises(
        EvaluationError,
        match=f"shared, of 2 accuracies, is {shared}; it must be a whole number of at least 0 and",
    ):
        PathEvaluation([0.5, 0.6], shared=shared)


def test_there_is_a_best_accuracy_for_each():
    assert PathEvaluation([0.5, 0.25], best_accuracies=[0.5, 1]).best_accuracies == (0.5, 1.0)
    with pytest.raises(EvaluationError, match="there are 1 best_accuracies for 2 accuracies; give as many"):
        PathEvaluation([0.5, 0.25], best_accuracies=[0.5])


def test_what_numbers_were_like_survives_json():
    mixed = Mixed({"normal 2<-0": 2.0, "normal 2<-1": 0.5}, 0.25, None, 3)
    assert Mixed.from_json(mixed.to_json()) == mixed
    assert Mixed.from_json('{"entropies": {}}') == Mixed({})
    negative, half = '{"entropies": {}, "behind": -1}', '{"entropies": {}, "behind": 0.5}'
    others = '{"entropies": 1}', '{"entropies": {"a": "x"}}', '{"entropies": {}, "more": 1}'
    for wrong in ("", "[]", "{}", *others, negative, half):
        with pytest.raises(EvaluationError, match="does not say what numbers were like"):
            Mixed.from_json(wrong)
