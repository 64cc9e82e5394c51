"""Workers that are real processes of this machine, which really die, hang and are killed."""

import contextlib
import logging
import os
import re
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import ConfigError, EvaluationError
from replaytree.evaluate import ProcessCrew, WorkerPool, given


@pytest.fixture
def own(monkeypatch):
    """The evaluators beside this file, found by the workers, too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import worker_evaluators

    return worker_evaluators


@pytest.fixture
def pool():
    pools = []

    def pool(evaluator, count=1, **options):
        pools.append(WorkerPool(crew(evaluator, count), count, **options))
        return pools[-1]

    yield pool
    for each in pools:
        each.close()


def crew(evaluator, count=1):
    return ProcessCrew(count, partial(given, evaluator), parts={"evaluator": evaluator})


def results(workers, count):
    """What the next `count` turns brought, by their number."""
    ended = {}
    while len(ended) < count:
        if (turn := workers.next()) is not None:
            ended[turn[0]] = turn[1]
    return ended


def is_alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    return False


def gone(pids):
    """Whether they all end within some seconds."""
    for _ in range(100):
        if not any(map(is_alive, pids)):
            return True
        time.sleep(0.1)
    return False


def test_a_worker_that_dies_in_a_training_is_replaced_and_the_training_done_once_more(own, pool, tmp_path, caplog):
    workers = pool(own.Deadly(str(tmp_path / "tried")))
    workers.submit(0, [(0,), (2,)], budget=Budget(1), seed=2**30)
    assert [each.accuracies for each in results(workers, 1)[0]] == [(0.25,), (0.25,)]
    [told] = caplog.messages
    assert re.fullmatch(r"worker 0 \(process \d+\) died training 0, 2 \(1 of 3\); another takes it: SIGKILL", told)
    [pid] = [worker.handle.process.pid for worker in workers._idle]
    workers.close()
    assert not is_alive(pid)


def test_one_that_hangs_is_ended_with_what_it_began_and_what_one_raises_is_the_result(own, pool, tmp_path):
    file = tmp_path / "processes"
    workers = pool(own.Hanging(str(file)), timeout=1.0)
    workers.submit(0, [(1,)], budget=Budget(1), seed=2**30)
    [late] = results(workers, 1)[0]
    assert (late.failure, late.failure_text) == ("error", "it did not end within 1 seconds (--timeout-per-training)")
    pids = [int(pid) for pid in file.read_text().split()]
    assert len(pids) == 2
    assert gone(pids)
    workers.submit(1, [(0,)], budget=Budget(1), seed=2**31)
    assert results(workers, 1)[1][0].accuracies == (0.5,)
    workers.submit(2, [(3,)], budget=Budget(1), seed=2**31)
    error = results(workers, 1)[2]
    assert isinstance(error, EvaluationError)
    assert str(error) == "Hanging.evaluate raised KeyError: 'no such row'; what was recorded before stays"


def test_images_lie_in_memory_once_and_what_one_worker_writes_no_other_sees(own, pool, tmp_path, caplog):
    caplog.set_level(logging.INFO, "replaytree")
    data = load_data("digits", train_limit=100)
    total = (int(data.train_labels.sum()) + 1000 * len(data.train_labels)) / 2**32
    workers = pool(own.Looks(data, str(tmp_path)), 2)
    for number in range(2):
        workers.submit(number, [(0, 0, 0)], budget=Budget(1), seed=0)
    ended = results(workers, 2)
    # One thread each, whatever there are.
    assert [ended[number][0].accuracies for number in (0, 1)] == [(1.0, total, 0.1)] * 2
    [told] = caplog.messages
    assert re.fullmatch(r"2 workers have begun in \d+\.\d seconds: worker 0 \(process \d+\), worker 1 \(.*", told)


def test_what_cannot_be_sent_is_named_with_the_way_out(own, monkeypatch):
    evaluator = own.Seeded()
    evaluator.parts = {"table": [0, threading.Lock()]}
    with pytest.raises(
        ConfigError,
        match=r"^evaluator\.parts\['table'\]\[1\] cannot be sent to workers \(TypeError: cannot pickle '_thread.lock' "
        r"object\); make what cannot be pickled inside evaluate\(\), define classes .* or leave out workers",
    ):
        crew(evaluator)

    class Local:
        pass

    with pytest.raises(ConfigError, match=r"evaluator cannot be sent to workers \(.*<locals>.Local"):
        crew(Local())
    typed = type("Typed", (own.Seeded,), {"__module__": "__main__"})
    main = type(os)("__main__")
    main.Typed = typed
    monkeypatch.setitem(__import__("sys").modules, "__main__", main)
    with pytest.raises(ConfigError, match=r"typed into this session, and workers cannot import them; .*a file NAME.py"):
        crew(typed())
