"""Searches on a real Ray of two workers on this machine, and workers that really die."""

import logging
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

import replaytree
from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import ConfigError, EvaluationError
from replaytree.evaluate import RayCluster, RayCrew, WorkerOptions, WorkerPool, connect
from replaytree.records import PathEvaluation
from replaytree.search.turns import episode_seed
from replaytree.tree import ReplayTree, check, list_searches, open_engine

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'replaytree[ray]'")
pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray of two CPUs, and this module sent by value: workers cannot import tests by name."""
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    found = connect(WorkerOptions(workers=2), shared_bytes=0)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield found
    ray.shutdown()


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/ray.db"


class Seeded:
    """Accuracies that tell the seed: seed / 2^32 at depth 1, half of it at depth 2."""

    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([seed / 2**32 / (t + 1) for t in range(len(path))]) for path in paths]


class Blocking(Seeded):
    """As Seeded, but the training of one seed waits for a file."""

    def __init__(self, seed, file):
        self.seed, self.file = seed, pathlib.Path(file)

    def evaluate(self, paths, *, budget, seed):
        while seed == self.seed and not self.file.exists():
            time.sleep(0.01)
        return super().evaluate(paths, budget=budget, seed=seed)


class Deadly(Seeded):
    """As Seeded, but path (1,) kills its process, and path (2,) the first that tries."""

    def __init__(self, file):
        self.file = pathlib.Path(file)

    def evaluate(self, paths, *, budget, seed):
        if (1,) in paths or ((2,) in paths and not self.file.exists()):
            if (2,) in paths:
                self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().evaluate(paths, budget=budget, seed=seed)


class Together(Seeded):
    """As Seeded, but later paths share the first layer with the first one, and the first call kills its process."""

    def __init__(self, file):
        self.file = pathlib.Path(file)

    def evaluate(self, paths, *, budget, seed):
        if not self.file.exists():
            self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        first, *others = super().evaluate(paths, budget=budget, seed=seed)
        return [first, *(replace(other, shared=1) for other in others)]


def search_on(workers, storage, evaluator, **options):
    options = {"strategy": "random", "min_layers": 1, "max_layers": 2, "grow_every": 3} | options
    space = replaytree.LabelSpace(["a", "b", "c"], max_layers=2)
    return replaytree.Search(
        space=space, evaluator=evaluator, storage=storage, name="s", workers=workers, ray_address="local", **options
    )


def workers_on(cluster, make):
    return WorkerPool(RayCrew(cluster, make, parts={}), cluster.workers)


def results(workers, count):
    """What the next `count` turns brought, by their number."""
    ended = {}
    while len(ended) < count:
        if (turn := workers.next()) is not None:
            ended[turn[0]] = turn[1]
    return ended


def everything(search):
    episodes = [
        (e.number, e.path, e.source, e.trained, e.depth_bound, e.epochs, e.accuracies, e.policy_loss, e.entropy)
        for e in search.tree.episodes()
    ]
    return search.tree.node_stats(), episodes, search.growth, search.tree.strategy_state()


@pytest.mark.parametrize(("strategy", "num_paths"), [("replay", 1), ("guided", 2)])
def test_one_worker_gives_what_no_worker_gives(tmp_path, strategy, num_paths):
    options = {
        "dataset": "digits", "train_limit": 300, "max_layers": 3, "epochs_first": 1, "epochs_last": 2, "grow_every": 2,
        "seed": 3, "strategy": strategy, "num_paths": num_paths, **({"warmup": 2} if strategy == "guided" else {}),
    }  # fmt: skip
    alone, on_ray = (
        replaytree.Search(
            storage=f"sqlite:///{tmp_path}/{count}.db", workers=count, ray_address=address, **options
        ).run(trainings=5)
        for count, address in ((None, None), (1, "local"))
    )
    assert everything(on_ray) == everything(alone)


def test_two_workers_record_each_training_once_with_the_seed_of_its_proposal(storage):
    search = search_on(2, storage, Seeded()).run(trainings=12)
    episodes = search.tree.episodes()
    assert [len(e.accuracies) for e in episodes] == [len(e.path) for e in episodes]
    seeds = [round(e.accuracies[0] * 2**32) for e in episodes]
    assert sorted(seeds) == sorted(episode_seed(0, number) for number in range(12))
    assert check(search.tree.engine) == []


def test_as_they_come_the_slowest_is_not_waited_for_and_a_stop_leaves_it_behind(storage, tmp_path):
    first = episode_seed(0, 0)
    search = search_on(2, storage, Blocking(first, tmp_path / "go"), as_they_come=True)
    search.run(trainings=20, on_turn=lambda progress: progress.run_trainings == 5 and search.stop())
    seeds = {round(e.accuracies[0] * 2**32) for e in search.tree.episodes()}
    assert seeds == {episode_seed(0, number) for number in range(1, 6)}
    (tmp_path / "go").touch()
    assert search.run(trainings=2).tree.training_count == 7
    assert search.tree.training_count == search.training_count


def test_a_path_that_kills_its_worker_goes_to_others_and_the_third_time_it_is_an_error(cluster, tmp_path, caplog):
    workers = workers_on(cluster, lambda: Deadly(tmp_path / "tried"))
    with caplog.at_level(logging.INFO, "replaytree"):
        workers.submit(0, [(0,), (1,)], budget=Budget(1), seed=2**30)
        workers.submit(1, [(2,)], budget=Budget(1), seed=2**31)
        ended = results(workers, 2)
        workers.close()
    # Path (0,) was only in bad company, and keeps the seed it would have had; (2,) is well the second time.
    innocent, guilty = ended[0]
    assert (innocent.accuracies, innocent.failure) == ((0.25,), None)
    assert (guilty.accuracies, guilty.failure) == ((), "error")
    assert guilty.failure_text.startswith("training it ended 3 workers; the last: ")
    assert ended[1][0].accuracies == (0.5,)
    said = [record.getMessage() for record in caplog.records if " died training " in record.getMessage()]
    assert len(said) == 4
    assert sum(bool(re.match(r"worker \d+ \(process \d+ on .*\) died training 2 \(1 of 3\)", line)) for line in said)
    assert [line for line in said if "died training 1, the 3. to do so: recorded as an error" in line]


def test_paths_share_what_one_call_trained_though_a_worker_died_of_it_once(cluster, tmp_path):
    workers = workers_on(cluster, lambda: Together(tmp_path / "tried"))
    shared = []
    for number in range(2):
        workers.submit(number, [(0, 1), (0, 2)], budget=Budget(1), seed=number)
        shared.append([evaluation.shared for evaluation in results(workers, 1)[number]])
    workers.close()
    assert shared == [[0, 1], [0, 1]]


def test_a_worker_killed_in_a_training_costs_the_search_nothing(storage, tmp_path):
    """The process is killed from outside, with SIGKILL, while it trains."""
    search = search_on(1, storage, Blocking(episode_seed(0, 1), tmp_path / "go"))

    def kill():
        while not (pids := _training_processes()):
            time.sleep(0.05)
        (tmp_path / "go").touch()
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    search.run(trainings=4, on_turn=lambda progress: progress.run_trainings == 1 and killer.start())
    killer.join()
    seeds = [round(e.accuracies[0] * 2**32) for e in search.tree.episodes()]
    assert seeds == [episode_seed(0, number) for number in range(4)]
    assert search.workers._began >= 2


def _training_processes():
    """Processes of Ray that are in Worker.evaluate; Ray names its processes after what they do."""
    running = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::Worker.evaluate"):
                running.append(int(folder.name))
        except OSError:
            continue
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_rays_daemon_ends_a_run_with_one_line_and_loses_nothing(tmp_path, number):
    """SIGTERM is what `ray stop` sends: the cluster then tells of our workers' deaths before that of the daemon."""
    storage = f"sqlite:///{tmp_path}/s.db"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(pathlib.Path(replaytree.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, "-m", "replaytree", "run", "--name", "s", "--storage", storage, "--ray-address", "local",
        "--workers", "1", "--trainings", "5000", "--train-limit", "200", "--max-layers", "2", "--epochs", "1",
        "--strategy", "random",
    ]  # fmt: skip
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        said = iter(run.stdout.readline, "")
        assert sum(1 for _, line in zip(range(3), said, strict=False) if line) == 3
        os.kill(_child(run.pid, "raylet"), number)
        rest, told = run.communicate(timeout=60)
    assert run.returncode == 2, told
    assert [line for line in told.splitlines() if " INFO " not in line and not line.startswith("note: ")] == [
        "Error: Ray's daemon on this machine (raylet) has ended, and its workers with it; what was committed stays, "
        f"and `replaytree resume s --storage {storage}` goes on from there"
    ]
    tree = ReplayTree.open(storage, "s")
    tree.require_free()
    assert tree.training_count == 2 + len(rest.splitlines())
    assert check(tree.engine) == []


def _child(parent, name):
    """The process of that name which this one has started."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            pid, rest = stat.read_text().split(" (", 1)
            comm, rest = rest.rsplit(") ", 1)
            if comm == name and int(rest.split()[1]) == parent:
                return int(pid)
    raise AssertionError(f"process {parent} has no {name}")


def test_the_images_lie_in_memory_once_and_cannot_be_written(cluster):
    data = load_data("digits", train_limit=100)

    class Looks:
        """Accuracy 1 where the images lie in shared memory that is mapped read-only for numpy, else 0."""

        def evaluate(self, paths, *, budget, seed):
            places = [tensor.data_ptr() for tensor in (data.train_images, data.val_images)]
            shared = [
                [int(part, 16) for part in line.split()[0].split("-")]
                for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
                if "plasma" in line
            ]
            good = all(any(start <= place < end for start, end in shared) for place in places)
            total = int(data.train_images.sum()) + int(data.val_images.sum())
            return [PathEvaluation([float(good), total / 2**32]) for _ in paths]

    workers = workers_on(cluster, Looks)
    for number in range(2):
        workers.submit(number, [(0, 0)], budget=Budget(1), seed=0)
    ended = results(workers, 2)
    workers.close()
    total = (int(data.train_images.sum()) + int(data.val_images.sum())) / 2**32
    assert [ended[number][0].accuracies for number in (0, 1)] == [(1.0, total)] * 2


def test_an_evaluator_that_raises_ends_the_run_with_its_own_error(storage):
    class Raises(Seeded):
        def evaluate(self, paths, *, budget, seed):
            if seed == episode_seed(0, 2):
                raise KeyError("no such row")
            return super().evaluate(paths, budget=budget, seed=seed)

    search = search_on(1, storage, Raises())
    with pytest.raises(EvaluationError, match=r"Raises.evaluate raised KeyError: 'no such row'"):
        search.run(trainings=9)
    assert search.tree.training_count == 2
    assert check(search.tree.engine) == []


def test_an_evaluator_that_cannot_be_sent_is_told_before_anything_is_stored(storage):
    evaluator = Seeded()
    evaluator.lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"evaluator.lock cannot be sent to workers \(.*lock.*make what cannot be"):
        search_on(2, storage, evaluator)
    assert list_searches(open_engine(storage)) == []


def test_an_evaluator_that_cannot_be_made_there_is_told(cluster):
    def make():
        raise RuntimeError("no such device")

    workers = workers_on(cluster, make)
    workers.submit(0, [(0,)], budget=Budget(1), seed=0)
    with pytest.raises(EvaluationError, match=r"worker 0 .* cannot begin: RuntimeError: no such device"):
        results(workers, 1)
    workers.close()


def test_a_gpu_that_is_not_there(storage):
    with pytest.raises(ConfigError, match="the cluster has 2 CPUs and no GPUs"):
        search_on(2, storage, Seeded(), gpus_per_worker=0.5)
    with pytest.raises(ConfigError, match="3 workers with 1 CPU and 0 GPUs each do not fit"):
        search_on(3, storage, Seeded())


def test_workers_that_never_begin_are_told(cluster):
    def make():
        os.kill(os.getpid(), signal.SIGKILL)

    workers = workers_on(RayCluster(1, 0.0, cluster.has), make)
    workers.submit(0, [(0,)], budget=Budget(1), seed=0)
    with pytest.raises(EvaluationError, match="3 workers in a row ended before they began; the last: "):
        results(workers, 1)
    workers.close()


def test_the_command_line_on_a_cluster_whose_workers_have_another_version_and_then_this_one(tmp_path):
    info = tmp_path / "other" / "replaytree-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: replaytree\nVersion: 9.9\n")
    here = str(pathlib.Path(replaytree.__file__).parents[1])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    environment |= {"REPLAYTREE_STORAGE": f"sqlite:///{tmp_path}/cli.db", "OMP_NUM_THREADS": "1"}
    environment["RAY_AUTH_MODE"] = "disabled"
    own = environment | {"PYTHONPATH": here}
    theirs = environment | {"PYTHONPATH": f"{tmp_path}/other:{here}"}
    short = tempfile.mkdtemp()  # the paths of Ray's sockets may have 107 characters
    head = subprocess.Popen(
        [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0", "--num-cpus=2",
            "--object-store-memory=80000000", "--include-dashboard=false", "--disable-usage-stats",
            f"--temp-dir={short}",
        ],
        env=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said = ""
        while (found := re.search(r"--address='([\d.]+:\d+)'", said)) is None:
            line = head.stdout.readline()
            assert line, said
            said += line
        own["RAY_ADDRESS"] = found[1]  # which auto is to find, whatever else runs on this machine
        on_it = ["--ray-address", "auto", "--workers", "1", "--trainings", "2"]

        def run(*arguments):
            command = [sys.executable, "-m", "replaytree.cli", *arguments]
            return subprocess.run(command, env=own, capture_output=True, text=True, cwd=tmp_path, check=False)

        other = run("run", "--name", "s", *on_it, "--epochs", "1", "--train-limit", "200", "--max-layers", "2")
        assert other.returncode == 2, other.stderr
        assert re.search(
            r"^Error: worker 0 \(process \d+ on \S+\) has replaytree 9.9, this process \S+; install the same version",
            other.stderr,
            re.M,
        )
        assert "Traceback" not in other.stderr
        (info / "METADATA").unlink()
        info.rmdir()
        same = run("resume", "s", *on_it)
        assert same.returncode == 0, same.stderr
        begun = r"\S+ INFO 1 worker has begun in [\d.]+ seconds: worker 0 \(process \d+ on \S+\)\n"
        assert re.fullmatch(begun, same.stderr)
        lines = same.stdout.splitlines()
        assert lines[0].startswith("search s: digits: 200 train")
        assert [line.split()[0] for line in lines[1:3]] == ["best", "best"]
        assert "2 trainings" in lines[3]
        assert check(open_engine(environment["REPLAYTREE_STORAGE"])) == []
    finally:
        head.terminate()
        head.wait(30)
        shutil.rmtree(short, ignore_errors=True)


def test_texts_reach_the_workers(storage, text_folder):
    options = {
        "dataset": str(text_folder), "hidden": 6, "max_layers": 2, "min_layers": 2, "epochs_first": 1, "epochs_last": 1,
        "bptt": 8, "strategy": "random", "seed": 1,
    }  # fmt: skip
    there = replaytree.Search(name="a", storage=storage, workers=2, **options).run(trainings=3)
    here = replaytree.Search(name="b", storage=storage, **options).run(trainings=3)
    assert there.tree.node_stats() == here.tree.node_stats()
