"""What kills the process twice is put aside. Most deaths here are exceptions that a tree of the test's own survives."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch

from replaytree.config import Budget
from replaytree.evaluate import Concurrent
from replaytree.records import PathEvaluation
from replaytree.search.guard import DIED, Guard, _key
from replaytree.training.baton import hand_on
from replaytree.tree.deaths import Deaths

TWICE = f"{DIED} 2 times (a crash in native code, out of memory, or killed)"


class Death(BaseException):
    """The process dies."""


class Tree:
    """The part of a ReplayTree that a guard needs. `deaths` outlives a Death, as its row outlives a process."""

    def __init__(self, aside=()):
        self.deaths = Deaths()
        self.aside = set(aside)

    def failed_paths(self, beginning):
        assert beginning == DIED
        return self.aside

    def deaths_in(self, training):
        return self.deaths.counts.get(training, 0)

    @contextmanager
    def training(self, training):
        self.deaths = self.deaths.began(training)
        try:
            yield
        except Death:
            self.deaths = self.deaths.inherited()
            raise
        except BaseException:
            self.deaths = self.deaths.ended(training)
            raise
        self.deaths = self.deaths.ended(training)


class Deadly:
    """Dies at some paths, or where several are trained together; knows what it was asked for."""

    def __init__(self, *bad, together=False, error=Death):
        self.bad, self.together, self.error, self.asked = bad, together, error, []

    def evaluate(self, paths, *, budget, seed):
        self.asked.append((list(paths), seed))
        if (self.together and len(paths) > 1) or set(self.bad) & set(paths):
            raise self.error
        return [PathEvaluation([path[0] / 10] * len(path)) for path in paths]


def resumed(tree, evaluator, paths, *, seed=5, epochs=1):
    """Ask, and do so again in a new process after each death: (deaths, answers)."""
    for deaths in range(9):
        try:
            answers = Guard(lambda: tree).ask(evaluator, paths, budget=Budget(epochs), seed=seed)
        except Death:
            continue
        return deaths, [(answer.failure, answer.failure_text, list(answer.accuracies)) for answer in answers]
    raise AssertionError("it never ends")


def test_a_path_that_kills_the_process_twice_is_an_error_and_is_not_trained_again(caplog):
    tree, deadly = Tree(), Deadly((1,))
    assert resumed(tree, deadly, [(1,)]) == (2, [("error", TWICE, [])])
    assert caplog.messages == [f"path 1 is put aside and recorded as an error: {TWICE}"]
    assert resumed(tree, deadly, [(2,)]) == (0, [(None, "", [0.2])])
    # Later, from what the tree has stored, with another budget, alone or among others.
    tree = Tree(aside=[(1,)])
    assert resumed(tree, deadly, [(1,)], seed=9, epochs=4) == (0, [("error", f"{DIED} before", [])])
    assert [answer[0] for answer in resumed(tree, deadly, [(3,), (1,), (2,)])[1]] == [None, "error", None]
    assert deadly.asked == [([(1,)], 5), ([(1,)], 5), ([(2,)], 5), ([(3,), (2,)], 5)]


def test_one_guard_spares_a_path_that_it_has_put_aside():
    tree, deadly = Tree(), Deadly((1,))
    guard = Guard(lambda: tree)
    for _ in range(2):
        with pytest.raises(Death):
            guard.ask(deadly, [(1,)], budget=Budget(1), seed=5)
    for seed in (5, 6):
        assert guard.ask(deadly, [(1,)], budget=Budget(1), seed=seed)[0].failure == "error"
    assert len(deadly.asked) == 2


def test_of_paths_trained_together_only_the_one_at_fault_is_put_aside():
    tree, deadly = Tree(), Deadly((2,))
    deaths, answers = resumed(tree, deadly, [(1,), (2,), (3,)])
    assert deaths == 3
    assert [failure for failure, *_ in answers] == [None, "error", None]
    assert answers[1][1] == TWICE.replace("2 times", "3 times")
    assert deadly.asked[:4] == [([(1,), (2,), (3,)], 5), ([(1,), (2,), (3,)], 5), ([(1,)], 5), ([(2,)], 6)]
    assert deadly.asked[4:] == [([(1,)], 5), ([(3,)], 7)]


def test_paths_that_kill_the_process_only_together_are_trained_by_themselves(caplog):
    deaths, answers = resumed(Tree(), Deadly(together=True), [(1,), (2,)])
    assert (deaths, [failure for failure, *_ in answers]) == (2, [None, None])
    assert caplog.messages == []


def test_only_deaths_in_a_row_count():
    tree = Tree()
    for _ in range(3):
        with pytest.raises(Death):
            Guard(lambda: tree).ask(Deadly((1,)), [(1,)], budget=Budget(1), seed=5)
        assert resumed(tree, Deadly(), [(1,)])[1] == [(None, "", [0.1])]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_death(error):
    tree = Tree()
    for _ in range(3):
        with pytest.raises(error):
            Guard(lambda: tree).ask(Deadly((1,), error=error), [(1,)], budget=Budget(1), seed=5)
    assert tree.deaths == Deaths()


PROCESSES = """
import json, os, sys, signal
import replaytree
from replaytree.records import PathEvaluation

class Deadly:
    def evaluate(self, paths, *, budget, seed):
        if paths[0] == (1,):
            os.kill(os.getpid(), signal.SIGKILL)
        return [PathEvaluation([0.5]) for path in paths]

given = dict(space=replaytree.LabelSpace(list("abc"), max_layers=1), evaluator=Deadly(), storage=sys.argv[1])
replaytree.Search(name="deadly", strategy="random", min_layers=1, seed=1, **given).tree.engine.dispose()
for _ in range(3):
    if not (pid := os.fork()):
        search = replaytree.Search.resume("deadly", **given)
        search.run(trainings=9)
        print(json.dumps([[e.path[0], e.failure, e.failure_text] for e in search.tree.episodes()]), flush=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_a_search_whose_processes_are_killed_goes_on_without_the_path(tmp_path):
    command = [sys.executable, "-c", PROCESSES, f"sqlite:///{tmp_path}/deadly.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    first, second, stored, third = map(json.loads, done.stdout.splitlines())
    assert (first, second, third) == (-signal.SIGKILL, -signal.SIGKILL, 0)
    expected = iter([TWICE, *[f"{DIED} before"] * 9])
    assert [path for path, *_ in stored].count(1) > 1
    assert stored == [[path, "error", next(expected)] if path == 1 else [path, None, ""] for path, *_ in stored]
    assert done.stderr.count("is put aside") == 1


def test_what_a_process_has_died_in_once_is_trained_while_nothing_else_is(submit):
    """If several were under way then, the next death tells which of them it was."""
    tree, log = Tree(), []
    tree.deaths = Deaths({_key([(2,)]): 1, _key([(3,)]): 1})

    class Epochs:
        def evaluate(self, paths, *, budget, seed):
            for _ in range(2):
                log.append((paths[0][0], tree.deaths.under_way.count(_key(paths)), len(tree.deaths.under_way)))
                hand_on()
            return [PathEvaluation([0.5])]

    workers = Concurrent(Epochs(), at_once=4, ahead=4, device=torch.device("cpu"), ask=Guard(lambda: tree).ask)
    for number in range(4):
        submit(workers, number, [(number,)], budget=Budget(1), seed=0)
    for _ in range(4):
        workers.next()
    workers.close()
    assert sorted(path for path, *_ in log) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [under_way for path, _, under_way in log if path in (2, 3)] == 4 * [1]
    assert max(under_way for path, _, under_way in log if path in (0, 1)) == 2
    assert all(own == 1 for _, own, _ in log)
    # They have ended with the process alive.
    assert tree.deaths == Deaths()
