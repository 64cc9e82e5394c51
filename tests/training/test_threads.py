import pytest
import torch

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.evaluate import JointEvaluator, SeparateEvaluator
from replaytree.space import LayerSpace, xu24
from replaytree.training import Recipe, images, threads
from replaytree.training.step import Step
from replaytree.training.threads import WORK_A_THREAD, Threads, using

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def four_processors(monkeypatch):
    monkeypatch.setattr(threads, "usable_cpus", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads._measured.clear()


def measuring(monkeypatch, *seconds):
    """Let measurements give these (one thread, several), and note for which numbers they were made."""
    left, asked = list(seconds), []
    monkeypatch.setattr(threads, "measure", lambda several: asked.append(several) or left.pop(0))
    return asked


@pytest.mark.parametrize(
    ("asked", "environment", "expected", "text"),
    [
        (None, None, Threads(4), "1 to 4 threads"),
        (3, None, Threads(3, fixed=True, asked=3), "3 threads"),
        (1, "2", Threads(1, fixed=True, asked=1), "1 thread"),
        (None, "2", Threads(2, fixed=True, asked=2), "2 threads"),
        (None, "2,1", Threads(2, fixed=True, asked=2), "2 threads"),
        (None, "0", Threads(4), "1 to 4 threads"),
        (None, "many", Threads(4), "1 to 4 threads"),
        (9, None, Threads(4, fixed=True, asked=9), "4 threads (9 were asked for; this process may use no more)"),
    ],
)
def test_what_is_asked_for_what_the_environment_says_and_what_there_is(monkeypatch, asked, environment, expected, text):
    if environment is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    assert Threads.of(asked) == expected
    assert str(expected) == text


def test_small_steps_take_one_thread_without_a_measurement(monkeypatch):
    asked = measuring(monkeypatch)
    assert Threads.of().number(2 * WORK_A_THREAD - 1) == 1
    assert asked == []


def test_several_threads_are_taken_as_work_and_processors_allow_where_they_gain(monkeypatch):
    asked = measuring(monkeypatch, (1.0, 0.6), (1.0, 0.3), (1.0, 0.9))
    chosen = Threads.of()
    assert chosen.number(2.5 * WORK_A_THREAD) == 2
    assert chosen.number(1000 * WORK_A_THREAD) == 4
    assert chosen.number(3 * WORK_A_THREAD) == 1  # 1.0 is not 1.15 times 0.9
    assert asked == [2, 4, 3]


def test_a_measurement_holds_for_a_while_and_is_made_again_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(threads.time, "monotonic", lambda: now[0])
    asked = measuring(monkeypatch, (1.0, 0.5), (1.0, 2.0))
    large = 4 * WORK_A_THREAD
    assert Threads.of().number(large) == 4
    now[0] += threads.MEASURED_SECONDS
    assert Threads.of().number(large) == 4
    now[0] += 0.1
    assert Threads.of().number(large) == 1
    assert asked == [4, 4]


def test_a_fixed_number_is_neither_measured_nor_weighed(monkeypatch):
    asked = measuring(monkeypatch)
    assert [Threads.of(3).number(work) for work in (0, 1e12)] == [3, 3]
    assert asked == []


def test_workers_share(monkeypatch):
    assert Threads.of().shared_by(1) == Threads.of()
    assert Threads.of().shared_by(2) == Threads(1, fixed=True)
    assert Threads.of(2).shared_by(2) == Threads(2, fixed=True, asked=2)
    assert Threads.of(3).shared_by(2) == Threads(2, fixed=True, asked=3)
    assert Threads.of(3).shared_by(9) == Threads(1, fixed=True, asked=3)


def test_a_measurement_leaves_threads_and_random_numbers_as_they_were():
    with using(1):
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        one, several = threads.measure(2)
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == 1
    assert 0 < one < 60
    assert 0 < several < 60


def test_using_restores_the_number_after_an_error():
    def fail():
        with using(1):
            raise KeyError(torch.get_num_threads())

    with using(2):
        with pytest.raises(KeyError, match="1"):
            fail()
        assert torch.get_num_threads() == 2


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", train_limit=120)


def space_of(digits):
    return LayerSpace(xu24(0.25), input_shape=digits.image_shape, num_classes=10, max_layers=3)


@pytest.mark.parametrize("kind", [JointEvaluator, SeparateEvaluator])
def test_small_trainings_give_the_same_to_the_last_bit_whatever_the_machine_has(digits, kind):
    def accuracies(chosen, before):
        evaluator = kind(space_of(digits), digits, recipe=Recipe(), device=CPU, threads=chosen)
        with using(before):
            return evaluator.evaluate([(0, 13)], budget=Budget(2), seed=1)[0].accuracies

    assert accuracies(Threads(4), before=3) == accuracies(Threads(1), before=1)


@pytest.mark.parametrize("kind", [JointEvaluator, SeparateEvaluator])
def test_steps_and_validation_take_the_threads_that_were_asked_for_and_no_other(digits, kind, monkeypatch):
    seen = {"step": set(), "validation": set()}
    step, logits = Step.__call__, images.logits_of
    monkeypatch.setattr(Step, "__call__", lambda *given: seen["step"].add(torch.get_num_threads()) or step(*given))
    monkeypatch.setattr(
        images, "logits_of", lambda *given: seen["validation"].add(torch.get_num_threads()) or logits(*given)
    )
    evaluator = kind(space_of(digits), digits, recipe=Recipe(), device=CPU, threads=Threads(3, fixed=True))
    with using(2):
        evaluator.evaluate([(0, 1)], budget=Budget(1), seed=1)
        assert torch.get_num_threads() == 2
    assert seen == {"step": {3}, "validation": {3}}


@pytest.mark.parametrize("within", [torch.no_grad, torch.inference_mode])
def test_threads_are_measured_where_a_caller_only_predicts_too(within):
    with within():
        assert all(seconds > 0.0 for seconds in threads.measure(2))
        assert Threads.of().number(2 * WORK_A_THREAD) in (1, 2)
