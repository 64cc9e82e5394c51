"""The bookkeeping of several workers, on a crew that does what the test says."""

import pytest

from replaytree.config import Budget
from replaytree.errors import EvaluationError
from replaytree.evaluate import pool
from replaytree.evaluate.pool import Began, Died, WorkerPool
from replaytree.records import PathEvaluation


class Crew:
    """Begins at once; `does(worker, paths, seed)` gives the outcome of a training, or None: it never ends."""

    def __init__(self, does=None):
        self.does, self.outcomes, self.begun, self.ended, self.asked = does, [], 0, [], []

    def begin(self, number):
        self.begun += 1
        worker = [number]
        self.outcomes.append((worker, Began(f"process {number}")))
        return worker

    def ask(self, worker, paths, *, budget, seed):
        paths = list(paths)
        self.asked.append((worker[0], paths, seed))
        outcome = self.does(worker[0], paths, seed) if self.does else right(paths, seed)
        if outcome is not None:
            self.outcomes.append((worker, outcome))

    def wait(self, seconds):
        return self.outcomes.pop(0) if self.outcomes else None

    def end(self, worker):
        self.ended.append(worker[0])

    def close(self):
        self.outcomes.clear()

    def missing(self):
        return ""


def right(paths, seed):
    return [PathEvaluation([(seed + place) / 100] * len(path)) for place, path in enumerate(paths)]


def accuracies(evaluations):
    return [evaluation.accuracies for evaluation in evaluations]


def results(workers, count):
    ended = {}
    for _ in range(200):
        if len(ended) == count:
            return ended
        if (turn := workers.next()) is not None:
            ended[turn[0]] = turn[1]
    raise AssertionError(f"only {sorted(ended)} ended")


def test_several_workers_look_ahead_and_one_does_not():
    assert [WorkerPool(Crew(), count).ahead for count in (1, 2, 4)] == [1, 3, 7]
    assert [WorkerPool(Crew(), count, as_they_come=True).ahead for count in (1, 2, 4)] == [1, 2, 4]
    assert (WorkerPool(Crew(), 2).in_order, WorkerPool(Crew(), 2, as_they_come=True).in_order) == (True, False)


def test_turns_go_to_as_many_workers_as_they_need_and_to_no_more():
    crew = Crew()
    workers = WorkerPool(crew, 3)
    assert workers.free == 3
    workers.submit(0, [(0,)], budget=Budget(1), seed=5)
    workers.submit(1, [(1, 2)], budget=Budget(1), seed=7)
    assert (workers.free, crew.begun) == (1, 2)
    ended = results(workers, 2)
    assert [accuracies(ended[number]) for number in (0, 1)] == [[(0.05,)], [(0.07, 0.07)]]
    workers.submit(2, [(3,)], budget=Budget(1), seed=9)
    assert accuracies(results(workers, 1)[2]) == [(0.09,)]
    assert (workers.free, crew.begun) == (3, 2)


def test_paths_of_a_worker_that_was_killed_are_trained_once_more_as_they_were():
    """What somebody else kills leaves the results, and the tree, as they would have been."""
    crew = Crew(lambda worker, paths, seed: Died("SIGKILL") if worker == 0 else right(paths, seed))
    workers = WorkerPool(crew, 1)
    workers.submit(0, [(0,), (1,)], budget=Budget(1), seed=5)
    assert accuracies(results(workers, 1)[0]) == [(0.05,), (0.06,)]
    assert crew.asked == [(0, [(0,), (1,)], 5), (1, [(0,), (1,)], 5)]
    assert crew.ended == [0]


def test_a_path_that_ends_three_workers_is_an_error_and_those_trained_with_it_keep_their_seeds(caplog):
    crew = Crew(lambda worker, paths, seed: Died("SIGSEGV") if (1,) in paths else right(paths, seed))
    workers = WorkerPool(crew, 1)
    workers.submit(0, [(0,), (1,), (2,)], budget=Budget(1), seed=5)
    innocent, guilty, other = results(workers, 1)[0]
    assert (innocent.accuracies, other.accuracies) == ((0.05,), (0.07,))
    assert (guilty.failure, guilty.failure_text) == ("error", "training it ended 3 workers; the last: SIGSEGV")
    assert [paths for _, paths, _ in crew.asked[:3]] == [[(0,), (1,), (2,)], [(0,), (1,), (2,)], [(0,)]]
    assert "died training 1, the 3. to do so: recorded as an error: SIGSEGV" in caplog.text


def test_a_training_that_takes_too_long_is_an_error_and_its_worker_is_replaced(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pool.time, "monotonic", lambda: now[0])
    crew = Crew(lambda worker, paths, seed: None if (1,) in paths else right(paths, seed))
    waited = crew.wait

    def wait(seconds):
        event = waited(seconds)
        now[0] += 0.0 if event else max(seconds, 0.01)
        return event

    crew.wait = wait
    workers = WorkerPool(crew, 1, timeout=30.0)
    workers.submit(0, [(1,)], budget=Budget(1), seed=5)
    [late] = results(workers, 1)[0]
    assert (late.failure, late.train_seconds) == ("error", 30.0)
    assert late.failure_text == "it did not end within 30 seconds (--timeout-per-training)"
    assert (crew.ended, now[0] - 100.0) == ([0], pytest.approx(30.0, abs=0.1))
    # Trained together they have 30 seconds each; then each is tried alone.
    workers.submit(1, [(0,), (1,)], budget=Budget(1), seed=7)
    good, late = results(workers, 1)[1]
    assert (good.accuracies, late.failure) == ((0.07,), "error")
    assert now[0] - 130.0 == pytest.approx(60.0 + 30.0, abs=0.2)
    assert len(crew.asked) == 4


def test_an_error_of_an_evaluator_is_the_result_of_its_turn_and_of_no_other():
    error = EvaluationError("no such row")
    crew = Crew(lambda worker, paths, seed: error if seed == 5 else right(paths, seed))
    workers = WorkerPool(crew, 2)
    workers.submit(0, [(0,)], budget=Budget(1), seed=5)
    workers.submit(1, [(0,)], budget=Budget(1), seed=6)
    ended = results(workers, 2)
    assert ended[0] is error
    assert accuracies(ended[1]) == [(0.06,)]


def test_workers_that_never_begin_end_the_run():
    class Stillborn(Crew):
        def begin(self, number):
            worker = super().begin(number)
            self.outcomes[-1] = (worker, Died("SIGILL"))
            return worker

    workers = WorkerPool(Stillborn(), 1)
    workers.submit(0, [(0,)], budget=Budget(1), seed=5)
    with pytest.raises(EvaluationError, match="3 workers in a row ended before they began; the last: SIGILL"):
        results(workers, 1)


def test_a_worker_that_ends_while_it_is_idle_costs_nothing(caplog):
    crew = Crew(lambda worker, paths, seed: None if paths == [(9,)] else right(paths, seed))
    workers = WorkerPool(crew, 2)
    workers.submit(0, [(0,)], budget=Budget(1), seed=5)
    results(workers, 1)
    workers.submit(1, [(9,)], budget=Budget(1), seed=6)
    workers.submit(2, [(0,)], budget=Budget(1), seed=7)
    assert accuracies(results(workers, 1)[2]) == [(0.07,)]
    [idle] = workers._idle
    crew.outcomes.append((idle.handle, Died("SIGTERM")))
    assert workers.next(wait=False) is None
    assert caplog.messages[-1].endswith("ended while it had nothing to do: SIGTERM")
    workers.submit(3, [(0,)], budget=Budget(1), seed=8)
    assert accuracies(results(workers, 1)[3]) == [(0.08,)]
    assert crew.begun == 3


def test_workers_that_are_waited_for_too_long_are_told_of_once(monkeypatch, caplog):
    class Busy(Crew):
        def begin(self, number):
            return [number]

        def missing(self):
            return "no GPU is free"

    monkeypatch.setattr(pool, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(pool, "WAIT_SECONDS", 0.0)
    workers = WorkerPool(Busy(), 1)
    workers.submit(0, [(0,)], budget=Budget(1), seed=5)
    assert [workers.next(), workers.next()] == [None, None]
    assert caplog.messages == ["still waiting for a worker to begin: no GPU is free"]
