"""What an evaluator may answer, and what it is told where it may not."""

import numpy as np
import pytest
import torch

from replaytree.config import Budget
from replaytree.errors import ConfigError, DataError, EvaluationError
from replaytree.evaluate.answer import answer_of, require_evaluator, rescores_of, rescoring, stateful
from replaytree.records import PathEvaluation

PATHS = [(0, 1), (2,)]
GOOD = [PathEvaluation([0.5, 0.6]), PathEvaluation([0.7])]


class Own:
    def __init__(self, answer):
        self.answer = answer

    def evaluate(self, paths, *, budget, seed):
        return self.answer()


def ask(answer):
    return answer_of(Own(answer), PATHS, budget=Budget(1), seed=0)


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda values: (value for value in values)])
def test_an_answer_is_a_list_or_can_be_listed(kind):
    assert ask(lambda: kind(GOOD)) == GOOD


def test_a_failure_may_stop_short():
    stopped = PathEvaluation([0.5], failure="diverged")
    assert ask(lambda: [stopped, GOOD[1]]) == [stopped, GOOD[1]]


def test_only_the_whole_path_must_be_measured():
    whole = PathEvaluation([None, 0.6])
    assert ask(lambda: [whole, GOOD[1]]) == [whole, GOOD[1]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda: None, r"what Own.evaluate returned is None; it must be a list of one PathEvaluation for each path"),
        (lambda: {(0, 1): GOOD[0]}, r"what Own.evaluate returned is \{\(0, 1\): Path.*; it must be a list"),
        (lambda: 0.5, r"what Own.evaluate returned is 0.5; it must be a list"),
        (lambda: [0.5, 0.6], r"Own.evaluate returned 0.5 for path \(0, 1\); it must be a PathEvaluation with one acc"),
        (lambda: [GOOD[0], [0.7]], r"Own.evaluate returned \[0.7\] for path \(2,\); it must be a PathEvaluation"),
        (lambda: [], "Own.evaluate returned 0 evaluations for 2 paths; it must be a list of one"),
        (lambda: GOOD * 2, "Own.evaluate returned more than 2 evaluations for 2 paths"),
        (lambda: iter(lambda: GOOD[1], None), "Own.evaluate returned more than 2 evaluations for 2 paths"),
        (lambda: GOOD[::-1], "Own.evaluate returned 1 accuracies for a path of 2 layers; it must be one a prefix"),
        (lambda: [GOOD[0], GOOD[0]], "Own.evaluate returned 2 accuracies for a path of 1 layers"),
        (
            lambda: [PathEvaluation([0.5, None]), GOOD[1]],
            r"Own.evaluate returned no accuracy of the whole path \(0, 1\)",
        ),
        (lambda: {}["x"], "Own.evaluate raised KeyError: 'x'; what was recorded before stays"),
        (lambda: (1 / 0 for _ in PATHS), "Own.evaluate raised ZeroDivisionError: division by zero"),
        (lambda: PathEvaluation([93.1]), r"^Own.evaluate: accuracy at depth 1 is 93.1; .*divide by 100"),
    ],
)
def test_an_answer_that_breaks_the_contract_names_the_evaluator_and_what_was_expected(answer, message):
    with pytest.raises(EvaluationError, match=message):
        ask(answer)


def test_errors_of_ours_and_interrupts_pass_as_they_are():
    for error in (DataError("the table has no row"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(error)) as caught:
            ask(lambda error=error: (_ for _ in ()).throw(error))
        assert caught.value is error


def test_an_evaluator_is_an_object_with_evaluate():
    for wrong, message in (
        (Own, r"is the class Own; give an object: Own\(...\)"),
        (3, "is 3, which has no method"),
    ):
        with pytest.raises(ConfigError, match=message):
            require_evaluator(wrong)


def test_an_evaluation_holds_values_of_python_only():
    evaluation = PathEvaluation(
        np.array([0.25, 0.5], dtype=np.float32),
        failure=np.str_("error"),
        failure_text=np.str_("text"),
        train_seconds=torch.tensor(1.5),
        epochs=np.int64(2),
        checkpoint_accuracy=np.float64(0.5),
        shared=np.uint8(1),
        best_accuracies=np.array([0.5, 0.75], dtype=np.float32),
    )
    assert evaluation == PathEvaluation((0.25, 0.5), "error", "text", 1.5, 2, 0.5, 1, (0.5, 0.75))
    single = [getattr(evaluation, name) for name in evaluation.__slots__[1:-1]]
    values = (*evaluation.accuracies, *single, *evaluation.best_accuracies)
    assert [type(value) for value in values] == [float, float, str, str, float, int, float, int, float, float]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train_seconds", float("inf"), "train_seconds is inf; it must be a finite number of at least 0"),
        ("train_seconds", -1, "train_seconds is -1; it must be a finite number of at least 0"),
        ("train_seconds", "3 s", "train_seconds is '3 s'; it must be a finite number of at least 0"),
        ("epochs", 0, "epochs is 0; it must be a whole number of at least 1"),
        ("epochs", True, "epochs is True; it must be a whole number"),
        ("epochs", 2**31, "epochs is 2147483648; it must be a whole number of at least 1 and at most 2147483647"),
        ("checkpoint_accuracy", 55.0, r"checkpoint_accuracy is 55.0; it must be a fraction .*percent"),
        ("shared", 0.5, "shared, of 1 accuracies, is 0.5"),
        ("failure", ["error"], r"failure is \['error'\]; it must be one of diverged, out_of_memory, error, or None"),
        ("failure_text", ValueError("x"), r"failure_text is ValueError\('x'\); it must be a text"),
        ("accuracies", {1: 0.5}, r"accuracies is \{1: 0.5\}; it must be a list of one fraction a prefix"),
        ("accuracies", [[0.5]], r"accuracy at depth 1 is \[0.5\]; it must be a fraction"),
        ("accuracies", "0.5", "accuracies is '0.5'; it must be a list"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_it_must_be(field, value, message):
    with pytest.raises(EvaluationError, match=message):
        PathEvaluation(**{"accuracies": [0.5]} | {field: value})


class Unchecked(PathEvaluation):
    def __post_init__(self):
        pass


def changed(accuracies):
    evaluation = PathEvaluation([0.5, 0.6])
    object.__setattr__(evaluation, "accuracies", accuracies)
    return evaluation


@pytest.mark.parametrize("make", [Unchecked, changed])
def test_an_evaluation_that_went_round_the_checks_is_checked_all_the_same(make):
    first, second = ask(lambda: [make(np.array([0.5, 0.25])), GOOD[1]])
    assert (type(first), first, second) == (PathEvaluation, PathEvaluation([0.5, 0.25]), GOOD[1])
    assert {type(accuracy) for accuracy in first.accuracies} == {float}
    with pytest.raises(EvaluationError, match=r"Own.evaluate, path \(0, 1\): accuracy at depth 2 is 1.5"):
        ask(lambda: [make([0.5, 1.5]), GOOD[1]])


class Raising(float):
    def __float__(self):
        raise RuntimeError("no")

    def __repr__(self):
        raise RuntimeError("no")


class NoAttributes:
    def __getattr__(self, name):
        raise RuntimeError(name)


@pytest.mark.parametrize("value", [lambda: Raising(0.5), NoAttributes])
def test_a_value_whose_class_raises_is_named(value):
    with pytest.raises(EvaluationError, match=r"accuracy at depth 1 is .*; it must be a fraction"):
        PathEvaluation([value()])


class WithState(Own):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Rescoring(WithState):
    def rescore(self, paths):
        return self.answer()


def test_an_evaluator_with_both_halves_of_a_state_is_stateful():
    own, with_state, rescored = Own(None), WithState(None), Rescoring(None)
    assert [stateful(each) for each in (own, with_state, rescored)] == [None, with_state, rescored]
    assert [rescoring(each) for each in (own, with_state, rescored)] == [None, None, rescored]


def test_half_a_state_is_refused():
    class Half(Own):
        def state_dict(self):
            return {}

    with pytest.raises(ConfigError, match=r"Half has state_dict\(\) and no load_state_dict\(\)"):
        stateful(Half(None))


def test_rescores_say_of_which_state_they_are():
    timed = [PathEvaluation([0.5, 0.6], epochs=3), PathEvaluation([0.7], epochs=3)]
    assert rescores_of(Rescoring(lambda: timed), PATHS) == timed
    with pytest.raises(EvaluationError, match="without epochs"):
        rescores_of(Rescoring(lambda: GOOD), PATHS)
    with pytest.raises(EvaluationError, match=r"Rescoring.rescore returned 1 evaluations for 2 paths"):
        rescores_of(Rescoring(lambda: timed[:1]), PATHS)
