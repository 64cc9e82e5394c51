import os
import subprocess
import sys

import pytest

from replaytree import cpus


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 8 processors whose cgroups are files of the test: (path of the own cgroup, quotas by file)."""

    def make(own, files):
        monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
        monkeypatch.setattr(cpus, "OWN_CGROUPS", tmp_path / "own")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return make


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        # The least of the own cgroup and those around it.
        ("0::/a/b\n", {"cpu.max": "500000 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        # A container whose path is that of the host.
        ("0::/kubepods/pod7\n", {"cpu.max": "400000 100000"}, 4),
        ("4:cpu,cpuacct:/a\n", {"cpu,cpuacct/a/cpu.cfs_quota_us": "2000", "cpu,cpuacct/a/cpu.cfs_period_us": "999"}, 2),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("3:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, 8),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 8),
    ],
)  # fmt: skip
def test_quotas_of_cgroups_count(machine, own, files, expected):
    machine(own, files)
    assert cpus.usable_cpus() == expected


def test_affinity_counts(machine, monkeypatch):
    machine("0::/\n", {"cpu.max": "600000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7})
    assert cpus.usable_cpus() == 3


def test_without_affinity_and_cgroups_all_processors_count(machine, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(cpus, "OWN_CGROUPS", tmp_path / "nowhere")
    assert cpus.usable_cpus() == 6


@pytest.mark.parametrize(("given", "expected"), [({}, "PASSIVE"), ({"GOMP_SPINCOUNT": "7"}, "None")])
def test_threads_that_wait_sleep_before_torch_is_loaded_unless_the_user_says_otherwise(given, expected):
    environment = {key: value for key, value in os.environ.items() if key not in cpus._WAITING} | given
    code = "import sys, os, replaytree; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]
