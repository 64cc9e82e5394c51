"""What fits on a cluster, without one; Ray itself is started in test_ray_crew.py."""

import socket
import sys

import pytest

from replaytree.errors import ConfigError
from replaytree.evaluate.ray_cluster import RayCluster, capacity, connect, fitting
from replaytree.evaluate.worker_options import WorkerOptions

CPUS = [{"CPU": 2.0, "memory": 1e9}]
GPUS = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 4.0}, {"CPU": 16.0}]


@pytest.mark.parametrize(
    ("nodes", "gpus_per_worker", "room"),
    [
        (CPUS, 0, 2),
        (CPUS, 0.5, 0),
        (GPUS, 0, 25),
        (GPUS, 1, 2 + 1),
        (GPUS, 0.5, 4 + 1),
        (GPUS, 0.3333, 6 + 1),
        (GPUS, 0.6, 2 + 1),
        (GPUS, 2, 1 + 1),
        ([{"CPU": 9.0, "GPU": 8.0}], 3, 2),
        ([], 0, 0),
    ],
)
def test_a_worker_has_one_cpu_and_its_share_of_a_gpu_on_one_node(nodes, gpus_per_worker, room):
    assert capacity(nodes, gpus_per_worker) == room


@pytest.mark.parametrize(
    ("options", "nodes", "wants_gpu", "workers", "share"),
    [
        (WorkerOptions(address="auto"), CPUS, None, 2, 0.0),
        (WorkerOptions(workers=1), CPUS, None, 1, 0.0),
        (WorkerOptions(address="auto"), [{"CPU": 8.0, "GPU": 2.0}], None, 2, 1.0),
        (WorkerOptions(address="auto"), [{"CPU": 8.0, "GPU": 2.0}], False, 8, 0.0),
        (WorkerOptions(workers=3), [{"CPU": 8.0, "GPU": 2.0}], None, 3, 0.5),
        (WorkerOptions(workers=6), [{"CPU": 8.0, "GPU": 2.0}], None, 6, 0.3333),
        (WorkerOptions(address="auto", gpus_per_worker=0.25), [{"CPU": 8.0, "GPU": 1.0}], None, 4, 0.25),
        (WorkerOptions(workers=2, gpus_per_worker=0), [{"CPU": 8.0, "GPU": 1.0}], None, 2, 0.0),
    ],
)
def test_workers_and_shares_that_are_not_given_follow_from_what_is_there(options, nodes, wants_gpu, workers, share):
    cluster = fitting(options, nodes, wants_gpu=wants_gpu)
    assert (cluster.workers, cluster.gpus_per_worker) == (workers, share)
    assert cluster.device == ("cuda" if share else "cpu")


@pytest.mark.parametrize(
    ("options", "nodes", "wants_gpu", "message"),
    [
        (WorkerOptions(2, None, 0.5), CPUS, None, "Ray has no GPU for its workers: the cluster has 2 CPUs and no GPUs"),
        (WorkerOptions(2), CPUS, True, "the cluster has 2 CPUs and no GPUs"),
        (WorkerOptions(2, None, 0.5), [{"CPU": 2.0, "GPU": 1.0}], False, "gpus_per_worker is 0.5, and the device"),
        (WorkerOptions(3, "auto"), CPUS, None, r"3 workers with 1 CPU and 0 GPUs each do not fit.* room for 2; lower"),
        (
            WorkerOptions(3, "auto", 0.5),
            [{"CPU": 8.0, "GPU": 1.0}],
            None,
            "the cluster has 8 CPUs and 1 GPUs, room for 2; lower --workers or --gpus-per-worker",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_what_there_is(options, nodes, wants_gpu, message):
    with pytest.raises(ConfigError, match=message):
        fitting(options, nodes, wants_gpu=wants_gpu)


def test_ray_is_for_an_address_and_for_gpus():
    assert not WorkerOptions()
    assert WorkerOptions(workers=1)
    assert WorkerOptions(address="auto")
    needs = [
        options.needs_ray(on_gpu=on_gpu)
        for options in (WorkerOptions(), WorkerOptions(2), WorkerOptions(2, "auto"), WorkerOptions(2, None, 0.5))
        for on_gpu in (False, True)
    ]
    assert needs == [False, False, False, True, True, True, True, True]
    assert RayCluster(1, 0.0, "1 CPUs and no GPUs").device == "cpu"


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"Ray is not installed; pip install 'replaytree\[ray\]'"):
        connect(WorkerOptions(workers=1))


def test_one_gpu_of_this_machine_means_nothing_to_a_cluster():
    with pytest.raises(ConfigError, match="device is 'cuda:1', but Ray gives each worker its GPU"):
        connect(WorkerOptions(workers=1), device="cuda:1")


@pytest.mark.ray
@pytest.mark.parametrize("spelt", ["as an address", "as auto"])
def test_an_address_where_nothing_listens_is_told_at_once(monkeypatch, spelt):
    pytest.importorskip("ray", reason="needs Ray: pip install 'replaytree[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    if spelt == "as auto":
        monkeypatch.setenv("RAY_ADDRESS", address)
        address = "auto"
    with pytest.raises(
        ConfigError, match=f"Ray at '{address}' cannot be reached .*refused.*; start one with `ray start"
    ):
        connect(WorkerOptions(address=address))


@pytest.mark.ray
@pytest.mark.parametrize("address", ["foo", "127.0.0.1:99999", "no.such.host.invalid:6379"])
def test_an_address_that_is_none_is_told(address):
    pytest.importorskip("ray", reason="needs Ray: pip install 'replaytree[ray]'")
    with pytest.raises(ConfigError, match=f"Ray at '{address}' cannot be reached"):
        connect(WorkerOptions(address=address))


@pytest.mark.parametrize(
    ("options", "nodes", "share"),
    [
        (WorkerOptions(workers=6), [{"CPU": 8.0, "GPU": 2.0}], 0.3333),
        (WorkerOptions(workers=1, gpus_per_worker=2), [{"CPU": 8.0, "GPU": 2.0}], 1.0),
        (WorkerOptions(workers=4), [{"CPU": 8.0}], 0.25),
        (WorkerOptions(address="auto"), [{"CPU": 2.0}, {"CPU": 8.0}], 0.125),
    ],
)
def test_a_worker_plans_with_its_share_of_the_memory(options, nodes, share):
    assert fitting(options, nodes, wants_gpu=None).memory_share == share
