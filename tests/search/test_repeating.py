"""Searches on real processes that take their time: seed and number of workers decide the tree."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import replaytree
from replaytree.cpus import usable_cpus
from replaytree.errors import ConfigError
from replaytree.evaluate import InProcess, WorkerOptions, WorkerPool
from replaytree.search import workforce
from replaytree.tree import ReplayTree, check, tree_digest

ROOT = Path(replaytree.__file__).parents[1]
EVALUATORS = Path(__file__).parents[1] / "evaluate"
SPACE = replaytree.LabelSpace(["identity", "good", "bad"], max_layers=5)


@pytest.fixture
def own(monkeypatch):
    """The evaluators of the tests of workers, found by the workers, too."""
    monkeypatch.syspath_prepend(str(EVALUATORS))
    import worker_evaluators

    return worker_evaluators


def searched(storage, evaluator, workers, *, trainings=24, **options):
    search = replaytree.Search(
        space=SPACE, evaluator=evaluator, storage=storage, name="s", workers=workers, strategy="evolution",
        population=4, min_layers=1, epochs_first=1, epochs_last=3, grow_every=4, seed=5, **options,
    )  # fmt: skip
    search.run(trainings=trainings)
    assert check(search.tree.engine) == []
    return tree_digest(search.tree.engine, "s")


def test_two_processes_give_one_tree_however_long_each_training_takes(tmp_path, own):
    trees = {searched(f"sqlite:///{tmp_path}/{ms}.db", own.Restless(ms), 2) for ms in (1, 60)}
    assert len(trees) == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_processes_give_one_tree_time_and_again(tmp_path, own, workers):
    trees = {searched(f"sqlite:///{tmp_path}/{n}.db", own.Restless(20 * n), workers) for n in range(3)}
    assert len(trees) == 1


@pytest.mark.ray
def test_rays_workers_give_the_tree_of_as_many_processes(tmp_path, own):
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'replaytree[ray]'")
    ray.cloudpickle.register_pickle_by_value(own)
    try:
        trees = [
            searched(f"sqlite:///{tmp_path}/{n}.db", own.Restless(30 * n), 2, ray_address="local") for n in range(2)
        ]
    finally:
        ray.shutdown()
    assert trees[0] == trees[1] == searched(f"sqlite:///{tmp_path}/processes.db", own.Restless(), 2)


SCRIPT = """
import sys
import replaytree
from worker_evaluators import Hanging

space = replaytree.LabelSpace(["a", "b"], max_layers=2)
evaluator = Hanging(sys.argv[1], always=True)
replaytree.Search(space=space, evaluator=evaluator, storage="sqlite://", strategy="random", workers=2).run(trainings=5)
"""


def test_a_search_that_is_killed_leaves_no_process_behind(tmp_path):
    """The script has no guard: what it sends is found in modules, so that workers do not import it."""
    (tmp_path / "script.py").write_text(SCRIPT)
    file = tmp_path / "processes"
    paths = os.pathsep.join([str(ROOT), str(EVALUATORS)])
    script = subprocess.Popen([sys.executable, tmp_path / "script.py", file], env=os.environ | {"PYTHONPATH": paths})
    try:
        # The two workers, each with a process that its evaluator began.
        pids = waited(lambda: file.read_text().split() if file.exists() else [], 4)
        script.kill()
        script.wait()
        assert waited(lambda: ["gone"] * (not any(map(is_alive, pids))), 1)
    finally:
        script.kill()
        script.wait()


def waited(found, count):
    for _ in range(600):
        if len(now := found()) >= count:
            return now
        time.sleep(0.1)
    raise AssertionError(f"only {found()}")


def is_alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    return False


UNGUARDED = """
import replaytree
class Own:
    def evaluate(self, paths, *, budget, seed):
        return [replaytree.PathEvaluation([0.5] * len(path)) for path in paths]
space = replaytree.LabelSpace(["a", "b"], max_layers=2)
try:
    search = replaytree.Search(space=space, evaluator=Own(), storage="sqlite://", strategy="random", workers=1)
    print(search.run(trainings=1).training_count)
except replaytree.ReplayTreeError as error:
    if __name__ == "__main__":
        print(error)
    else:
        raise
"""


def test_a_script_without_a_guard_is_told_to_have_one_where_workers_must_import_it(tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == (
        "worker 0 (not begun) cannot begin: workers import the script that began them, and it begins workers of its "
        "own; keep what it runs under `if __name__ == '__main__':`\n"
    ), done.stderr


@pytest.mark.slow
def test_a_run_that_was_killed_or_stopped_goes_on_to_the_tree_of_one_that_was_not(tmp_path):
    """On real trainings: SIGKILL, then Ctrl-C in the whole process group, then to the end."""

    def command(*words):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "REPLAYTREE_STORAGE": f"sqlite:///{tmp_path}/s.db"}
        return subprocess.Popen(
            [sys.executable, "-m", "replaytree", *words], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    options = ["--workers", "2", "--trainings", "9", "--train-limit", "300", "--epochs", "1:2", "--warmup", "2"]
    whole = command("run", "--name", "whole", *options)
    assert whole.wait() == 0, whole.stderr.read()
    killed = command("run", "--name", "parts", *options)
    lines = iter(killed.stdout.readline, "")
    assert sum(1 for _, line in zip(range(4), lines, strict=False) if line) == 4
    killed.kill()
    killed.wait()
    stopped = command("resume", "parts", "--workers", "2", "--take-over")
    lines = iter(stopped.stdout.readline, "")
    assert sum(1 for _, line in zip(range(3), lines, strict=False) if line) == 3
    os.killpg(stopped.pid, signal.SIGINT)
    _, told = stopped.communicate(timeout=60)
    assert stopped.returncode == 0
    assert "Stopping now; what is under way is trained again when the search goes on" in told
    assert "Traceback" not in told
    tree = ReplayTree.open(f"sqlite:///{tmp_path}/s.db", "parts")
    assert 5 <= tree.training_count < 9
    rest = command("resume", "parts", "--workers", "2")
    assert rest.wait() == 0, rest.stderr.read()
    assert tree_digest(tree.engine, "parts") == tree_digest(tree.engine, "whole")


def test_who_trains_follows_from_the_options(caplog, monkeypatch):
    def workers(options, cluster=None):
        return workforce.workers_for(
            options, cluster, replaytree.SearchConfig(), evaluator=Fast(), make=None, parts={}, tree=None
        )

    alone, two = workers(WorkerOptions()), workers(WorkerOptions(2, as_they_come=True, timeout=5.0))
    assert isinstance(alone, InProcess)
    assert isinstance(two, WorkerPool)
    assert (two.count, two.in_order, two._timeout) == (2, False, 5.0)
    caplog.clear()
    many = usable_cpus() + 3
    assert workers(WorkerOptions(many)).count == many
    [told] = caplog.messages
    assert told.startswith(f"{many} workers share the {usable_cpus()} processors that this process may use")
    for options in (WorkerOptions(2), WorkerOptions()):
        assert workforce.cluster_for(options, device="cpu", shared_bytes=None) is None
    asked = []
    monkeypatch.setattr(workforce, "connect", lambda options, **told: asked.append(told["device"]))
    workforce.cluster_for(WorkerOptions(2, "local"), device="cpu", shared_bytes=None)
    workforce.cluster_for(WorkerOptions(2, None, 0.5), device="auto", shared_bytes=None)
    assert asked == ["cpu", "auto"]


class Fast:
    def evaluate(self, paths, *, budget, seed):
        return []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, r"workers is 0; it must be a whole number of at least 1 \(--workers\)"),
        ({"workers": 1.5}, "workers is 1.5"),
        ({"workers": True}, "workers is True"),
        ({"workers": 1, "gpus_per_worker": -1}, "gpus_per_worker is -1; it must be a fraction up to 1, or a whole"),
        ({"workers": 1, "gpus_per_worker": 1.5}, "gpus_per_worker is 1.5"),
        ({"workers": 1, "gpus_per_worker": float("nan")}, "gpus_per_worker is nan"),
        ({"gpus_per_worker": 0.5}, "gpus_per_worker is for workers; give --workers or --ray-address, too"),
        ({"as_they_come": True}, "as_they_come is for workers; give --workers"),
        ({"timeout": 3.0}, "timeout_per_training is for workers; give --workers"),
        ({"workers": 1, "timeout": 0}, r"timeout_per_training is 0; it must be over 0 seconds"),
        ({"workers": 1, "timeout": "3"}, "timeout_per_training is '3'; it must be a finite number"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        WorkerOptions(**options)
