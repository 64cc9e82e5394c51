"""Several turns under way in this process, with evaluators that hand the baton on as trainings do."""

import threading
import time

import pytest
import torch

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.evaluate import Concurrent, JointEvaluator
from replaytree.evaluate.attempt import attempt
from replaytree.records import PathEvaluation
from replaytree.space import LayerSpace, xu24
from replaytree.training import Recipe, capture
from replaytree.training.baton import hand_on, require_run

CPU = torch.device("cpu")


class Epochs:
    """As many epochs as a path's first layer says; `log` has each of them, `until` is asked at its end."""

    def __init__(self, until=lambda: None):
        self.log, self.until = [], until

    def evaluate(self, paths, *, budget, seed):
        for epoch in range(paths[0][0]):
            self.log.append((seed, epoch, threading.current_thread() is threading.main_thread()))
            self.until()
            hand_on()
        return [PathEvaluation([seed / 100] * len(path)) for path in paths]


@pytest.fixture
def submitted(submit):
    def submitted(workers, *lengths, first=0):
        for number, length in enumerate(lengths, start=first):
            submit(workers, number, [(length, 0)], budget=Budget(1), seed=number)

    return submitted


def ended(workers, count):
    found = [workers.next() for _ in range(count)]
    return [(number, outcome[0].accuracies) for number, outcome in found]


def test_turns_go_on_side_by_side_and_end_as_they_are_done(submitted):
    epochs = Epochs()
    workers = Concurrent(epochs, at_once=3, ahead=4, device=CPU)
    assert (workers.count, workers.in_order, workers.ahead, workers.free) == (1, True, 4, 3)
    submitted(workers, 3, 1, 2)
    assert workers.free == 0
    assert epochs.log == []
    assert ended(workers, 1) == [(1, (0.01, 0.01))]
    assert workers.free == 1
    submitted(workers, 1, first=3)
    assert sorted(ended(workers, 3)) == [(0, (0.0, 0.0)), (2, (0.02, 0.02)), (3, (0.03, 0.03))]
    assert not any(main for *_, main in epochs.log)
    assert epochs.log.index((2, 0, False)) < epochs.log.index((0, 1, False)) < epochs.log.index((2, 1, False))
    assert len(workers._threads) == 3
    workers.close()
    assert workers.free == 3


def training_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("training ")]


def test_an_error_of_the_evaluator_is_the_turns_outcome_and_others_go_on(submitted):
    def fails():
        if len(epochs.log) == 2:
            raise ValueError("no")

    epochs = Epochs(fails)
    workers = Concurrent(epochs, at_once=2, ahead=2, device=CPU)
    submitted(workers, 2, 2)
    number, error = workers.next()
    assert (number, str(error)) == (1, "Epochs.evaluate raised ValueError: no; what was recorded before stays")
    assert ended(workers, 1) == [(0, (0.0, 0.0))]
    workers.close()
    assert training_threads() == []


def test_what_is_no_exception_ends_the_run(submitted):
    def leaves():
        raise SystemExit(7)

    workers = Concurrent(Epochs(leaves), at_once=2, ahead=2, device=CPU)
    submitted(workers, 1, 1)
    with pytest.raises(SystemExit):
        workers.next()
    workers.close()
    assert training_threads() == []


def test_close_ends_what_is_under_way_and_another_run_may_follow(submitted):
    epochs = Epochs()
    workers = Concurrent(epochs, at_once=3, ahead=3, device=CPU)
    submitted(workers, 10**6, 1, 10**6)
    assert ended(workers, 1) == [(1, (0.01, 0.01))]
    submitted(workers, 5, first=3)
    workers.close()
    assert training_threads() == []
    assert (3, 0, False) not in epochs.log
    submitted(workers, 1, 2, first=5)
    assert sorted(ended(workers, 2)) == [(5, (0.05, 0.05)), (6, (0.06, 0.06))]
    workers.close()


def test_ctrl_c_ends_what_is_under_way_at_its_next_step(monkeypatch, submitted):
    """The interruption comes to the thread that waits, as Ctrl-C comes to the main thread."""
    epochs = Epochs()
    workers = Concurrent(epochs, at_once=2, ahead=2, device=CPU)
    begun = threading.Event()

    class Interrupted:
        def get(self):
            assert begun.wait(60)
            raise KeyboardInterrupt

    def steps():
        begun.set()
        while True:
            require_run()

    epochs.until = steps
    submitted(workers, 1, 1)
    monkeypatch.setattr(workers, "_ended", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        workers.next()
    workers.close()
    assert training_threads() == []
    assert len(epochs.log) == 1


def test_ctrl_c_that_comes_again_leaves_the_baton_to_the_one_that_runs(monkeypatch, submitted):
    """It comes while the thread that was interrupted waits for the baton, which is with a training."""
    epochs, begun, goes, held = Epochs(), threading.Event(), threading.Event(), []
    workers = Concurrent(epochs, at_once=2, ahead=2, device=CPU)

    class Interrupted:
        def get(self):
            assert begun.wait(60)
            raise KeyboardInterrupt

    def until():
        begun.set()
        held.append(goes.wait(5) and workers_relay.holder == threading.get_ident())
        require_run()

    epochs.until = until
    submitted(workers, 1, 1)
    workers_relay, taken = workers._relay, []
    real = workers_relay.take

    def take(*, first=False):
        if threading.current_thread() is threading.main_thread():
            taken.append(first)
            if len(taken) == 1:
                raise KeyboardInterrupt
            goes.set()
        real(first=first)

    monkeypatch.setattr(workers_relay, "take", take)
    monkeypatch.setattr(workers, "_ended", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        workers.next()
    workers.close()
    assert training_threads() == []
    assert held == [True]


def test_turns_begin_with_as_many_threads_as_whoever_submits_them_has(submitted):
    found = []
    epochs = Epochs(lambda: found.append(torch.get_num_threads()))
    workers = Concurrent(epochs, at_once=2, ahead=2, device=CPU)
    before = torch.get_num_threads()
    try:
        for turn, threads in enumerate((2, 3, 2)):
            torch.set_num_threads(threads)
            submitted(workers, 2, first=turn)
            ended(workers, 1)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    workers.close()
    assert found == [2, 2, 3, 3, 2, 2]


class Memory:
    """Trainings of which two at once run out of memory at the first: `log` says what began and what ended."""

    def __init__(self, error=torch.OutOfMemoryError):
        self.error, self.log, self.under_way = error, [], 0

    def evaluate(self, paths, *, budget, seed):
        def train():
            self.under_way += 1
            try:
                self.log.append(f"{seed} begins")
                hand_on()
                if self.under_way > 1 or seed == 9:
                    raise self.error("it is full")
                hand_on()
                self.log.append(f"{seed} ends")
                return 0.5
            finally:
                self.under_way -= 1

        outcome = attempt(train, seed=seed, device=CPU)
        return [PathEvaluation([0.5, 0.5] if outcome == 0.5 else [], failure=getattr(outcome, "kind", None))]


def test_a_training_that_lacks_memory_beside_others_is_tried_again_when_it_is_alone(submitted):
    memory = Memory()
    workers = Concurrent(memory, at_once=3, ahead=3, device=CPU)
    submitted(workers, 1, 1, 1)
    found = [workers.next() for _ in range(3)]
    assert [(number, outcome[0].failure) for number, outcome in sorted(found)] == [(0, None), (1, None), (2, None)]
    workers.close()
    assert memory.log[:3] == ["0 begins", "1 begins", "2 begins"]
    # 2 was alone already when it came to want more.
    assert memory.log[3:] == ["2 ends", "0 begins", "0 ends", "1 begins", "1 ends"]


def test_after_one_was_alone_others_train_beside_its_thread_again(submitted):
    memory = Memory()
    workers = Concurrent(memory, at_once=2, ahead=2, device=CPU)
    submitted(workers, 1, first=9)
    assert workers.next()[1][0].failure == "out_of_memory"
    memory.log.clear()
    submitted(workers, 1, 1, first=1)
    ended(workers, 2)
    workers.close()
    assert [line[2:] for line in memory.log[:2]] == ["begins", "begins"]


def test_what_lacks_memory_also_alone_fails(submitted):
    memory = Memory()
    workers = Concurrent(memory, at_once=2, ahead=2, device=CPU)
    submitted(workers, 1, first=9)
    assert workers.next()[1][0].failure == "out_of_memory"
    workers.close()
    assert memory.log == ["9 begins", "9 begins"]


@pytest.fixture(scope="module")
def joint():
    """Makes evaluators of digits with so much memory."""
    data = load_data("digits", train_limit=200)
    space = LayerSpace(xu24(0.125), input_shape=(1, 8, 8), num_classes=10, max_layers=3)

    def made(memory_bytes=None):
        return JointEvaluator(
            space, data, recipe=Recipe(batch_size=50), device=CPU, memory_bytes=memory_bytes,
        )  # fmt: skip

    return made


PATHS = [[(0, 1)], [(9, 2), (9, 3, 4)], [(4,)], [(13, 0, 1)]]


def evaluated(workers):
    for number, paths in enumerate(PATHS):
        workers.submit(number, paths, budget=Budget(2, checkpoint=1), seed=10 * number)
    found = dict(workers.next() for _ in PATHS)
    workers.close()
    return [[(e.accuracies, e.shared, e.checkpoint_accuracy) for e in found[number]] for number in range(len(PATHS))]


def test_real_trainings_at_once_score_what_they_score_one_after_the_other(joint):
    one = joint()
    alone = [one.evaluate(paths, budget=Budget(2, checkpoint=1), seed=10 * n) for n, paths in enumerate(PATHS)]
    expected = [[(e.accuracies, e.shared, e.checkpoint_accuracy) for e in each] for each in alone]
    assert evaluated(Concurrent(one, at_once=4, ahead=4, device=CPU)) == expected


def test_the_seconds_of_trainings_at_once_are_no_more_than_have_passed(joint):
    workers = Concurrent(joint(), at_once=4, ahead=4, device=CPU)
    began = time.perf_counter()
    for number, paths in enumerate(PATHS):
        workers.submit(number, paths, budget=Budget(2), seed=number)
    seconds = [evaluation.train_seconds for _ in PATHS for evaluation in workers.next()[1]]
    assert 0.0 < sum(seconds) <= time.perf_counter() - began
    workers.close()


def test_real_trainings_wait_for_room_and_score_the_same(joint, caplog):
    generous = evaluated(Concurrent(joint(), at_once=4, ahead=4, device=CPU))
    # Enough for any of them alone, and for no two.
    scarce = joint(memory_bytes=1_700_000)
    assert evaluated(Concurrent(scarce, at_once=4, ahead=4, device=CPU)) == generous
    assert len([r for r in caplog.records if "so that fewer train at once" in r.getMessage()]) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_four_captured_trainings_at_once_score_what_they_score_one_after_the_other(monkeypatch):
    monkeypatch.setattr(capture, "_stopped", [])
    device = torch.device("cuda", torch.cuda.current_device())
    data = load_data("digits")
    space = LayerSpace(xu24(0.5), input_shape=(1, 8, 8), num_classes=10, max_layers=3)
    evaluator = JointEvaluator(space, data, recipe=Recipe(batch_size=64), device=device)
    paths = [[(0, 1)], [(9, 2, 4)], [(4, 0)], [(13, 0, 1)]]
    workers = Concurrent(evaluator, at_once=4, ahead=4, device=device)
    before = torch.cuda.get_rng_state(device)
    for _ in range(2):
        for number, each in enumerate(paths):
            workers.submit(number, each, budget=Budget(6), seed=number)
        found = dict(workers.next() for _ in paths)
        for number, each in enumerate(paths):
            [alone] = evaluator.evaluate(each, budget=Budget(6), seed=number)
            assert alone.failure is found[number][0].failure is None
            # 179 validation images, and sums that are rounded in another order.
            assert max(abs(a - b) for a, b in zip(alone.accuracies, found[number][0].accuracies, strict=True)) < 0.06
    workers.close()
    assert not capture._stopped
    assert torch.equal(torch.cuda.get_rng_state(device), before)
    assert torch.cuda.current_stream(device) == torch.cuda.default_stream(device)
