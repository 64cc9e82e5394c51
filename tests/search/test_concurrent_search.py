"""Searches with several trainings at once in this process: the tree is that of one after the other, to the bit."""

import contextlib
import signal
import subprocess
import sys

import pytest
import torch

import replaytree
from replaytree.config import SearchConfig
from replaytree.errors import ConfigError
from replaytree.evaluate import Concurrent, InProcess, WorkerOptions
from replaytree.records import PathEvaluation
from replaytree.search import workforce
from replaytree.search.workforce import _in_process
from replaytree.tree import check, tree_digest

OPTIONS = {
    "dataset": "digits", "train_limit": 200, "width": 0.125, "max_layers": 3, "epochs_first": 1, "epochs_last": 3,
    "ahead": 3, "warmup": 3, "candidates": 20, "device": "cpu", "threads": 1, "seed": 4,
}  # fmt: skip
TRAININGS = 9


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The digest of the tree of one training after the other."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('whole')}/tree.db"
    search = replaytree.Search(name="s", storage=storage, concurrent=1, **OPTIONS).run(trainings=TRAININGS)
    assert isinstance(search.workers, InProcess)
    return tree_digest(search.tree.engine, "s")


@pytest.mark.parametrize("at_once", [2, 3])
def test_the_tree_is_the_same_however_many_train_at_once(tmp_path, whole, at_once):
    storage = f"sqlite:///{tmp_path}/tree.db"
    search = replaytree.Search(name="s", storage=storage, concurrent=at_once, **OPTIONS)
    assert (type(search.workers), search.workers.at_once) == (Concurrent, at_once)
    before = torch.get_rng_state()
    search.run(trainings=TRAININGS)
    assert torch.equal(torch.get_rng_state(), before)
    assert tree_digest(search.tree.engine, "s") == whole
    assert check(search.tree.engine) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_paths_are_the_same_however_many_train_at_once(tmp_path):
    # Accuracies differ in their last digits, and nothing here goes by them.
    options = {
        "dataset": "digits", "width": 0.25, "min_layers": 3, "max_layers": 3, "epochs_first": 3, "epochs_last": 3,
        "prune": False, "strategy": "random", "device": "cuda",
    }  # fmt: skip
    trees = []
    for at_once in (None, 1):
        storage = f"sqlite:///{tmp_path}/{at_once}.db"
        search = replaytree.Search(name="s", storage=storage, concurrent=at_once, **options).run(trainings=12)
        assert getattr(search.workers, "at_once", 1) == (at_once or 4)
        assert search.config.ahead == 4
        assert check(search.tree.engine) == []
        episodes = [(episode.number, episode.path, episode.failure) for episode in search.tree.episodes()]
        trees.append((episodes, [(node.path, node.visit_count) for node in search.tree.node_stats()]))
    assert isinstance(search.workers, InProcess)
    assert trees[0] == trees[1]


def test_interrupted_and_resumed_with_another_number_at_once(tmp_path, whole):
    storage = f"sqlite:///{tmp_path}/tree.db"
    search = replaytree.Search(name="s", storage=storage, concurrent=3, **OPTIONS)

    def interrupt(progress):
        if progress.training_count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.run(trainings=TRAININGS, on_turn=interrupt)
    again = replaytree.Search.resume("s", storage=storage, concurrent=2)
    # A stop waits for what is under way, and records it.
    again.run(on_turn=lambda progress: progress.training_count == 4 and again.stop())
    assert again.training_count == 6
    last = replaytree.Search.resume("s", storage=storage)
    assert isinstance(last.workers, InProcess)
    last.run()
    assert tree_digest(last.tree.engine, "s") == whole
    assert check(last.tree.engine) == []


KILLED = """
import os, signal, sys
import replaytree
search = replaytree.Search(name="s", storage=sys.argv[1], concurrent=3, **eval(sys.argv[2]))
search.run(trainings=9, on_turn=lambda p: p.training_count == 3 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_killed_and_resumed(tmp_path, whole):
    storage = f"sqlite:///{tmp_path}/tree.db"
    done = subprocess.run([sys.executable, "-c", KILLED, storage, repr(OPTIONS)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    search = replaytree.Search.resume("s", storage=storage, concurrent=3).run()
    assert search.training_count == TRAININGS
    assert tree_digest(search.tree.engine, "s") == whole


class Constant:
    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([0.5] * len(path)) for path in paths]


class Stateful(Constant):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def chosen(caplog, concurrent, **options):
    caplog.clear()
    workers = _in_process(Constant(), WorkerOptions(concurrent=concurrent), SearchConfig(**options), ask=None)
    return getattr(workers, "at_once", 1), workers.ahead, [record.getMessage() for record in caplog.records]


def test_how_many_train_at_once(monkeypatch, caplog):
    assert chosen(caplog, None, device="cpu", ahead=3) == (1, 3, [])
    assert chosen(caplog, 2, device="cpu", ahead=3) == (2, 3, [])
    few = "concurrent is 4, and the search proposes 3 ahead: 3 train at once; begin one with --ahead 4, too, for more"
    assert chosen(caplog, 4, device="cpu", ahead=3) == (3, 3, [few])
    one = "concurrent is 2, and the search proposes 1 ahead: 1 trains at once; begin one with --ahead 2, too, for more"
    assert chosen(caplog, 2, device="cpu") == (1, 1, [one])
    monkeypatch.setattr(workforce, "resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert chosen(caplog, None, device="cuda", ahead=4) == (4, 4, [])
    assert chosen(caplog, 1, device="cuda", ahead=4) == (1, 4, [])
    workers = _in_process(Constant(), WorkerOptions(), SearchConfig(device="cuda", ahead=2), ask=None)
    assert workers._device == torch.device("cuda:1")


def test_what_cannot_train_at_once_says_so():
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(ConfigError, match=rf"^concurrent is {wrong}; it must be a whole number of at least 1 \(--"):
            WorkerOptions(concurrent=wrong)
    for others in ({"workers": 2}, {"address": "local"}):
        with pytest.raises(ConfigError, match=r"^concurrent is 2, .* leave out --concurrent, or --workers and --ray-"):
            WorkerOptions(concurrent=2, **others)
    for weights in ("shared", "inherited"):
        with pytest.raises(ConfigError, match=rf"^concurrent is 2, and with --weights {weights} every training goes"):
            replaytree.Search(dataset="digits", weights=weights, concurrent=2, storage="sqlite://")
    with pytest.raises(ConfigError, match=r"^strategy darts trains one supernet, .* leave out --concurrent$"):
        replaytree.Search(dataset="digits", strategy="darts", space="darts", concurrent=2, storage="sqlite://")
    space = replaytree.LabelSpace(["identity", "good"], max_layers=2)
    with pytest.raises(ConfigError, match=r"^concurrent is 2, and with the state of Stateful every training goes on"):
        replaytree.Search(space=space, evaluator=Stateful(), concurrent=2, storage="sqlite://")


def test_an_error_of_an_evaluator_ends_the_run_when_its_turn_is_due(tmp_path):
    class Fails(Constant):
        def __init__(self):
            self.asked = 0

        def evaluate(self, paths, **named):
            self.asked += 1
            if self.asked == 5:
                raise ValueError("no more")
            return super().evaluate(paths, **named)

    space = replaytree.LabelSpace(["identity", "good"], max_layers=3)
    search = replaytree.Search(
        space=space, evaluator=Fails(), ahead=3, concurrent=3, strategy="random", storage=f"sqlite:///{tmp_path}/s.db"
    )
    with contextlib.suppress(replaytree.ReplayTreeError):
        search.run(trainings=9)
        raise AssertionError("it has failed")
    assert search.training_count == 4
    # The evaluator is well again: the search goes on with the turn that failed.
    assert search.run(trainings=5).training_count == 9
