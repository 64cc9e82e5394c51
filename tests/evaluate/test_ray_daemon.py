"""Noticing that Ray is gone, on real sockets; a real daemon is killed in test_ray_crew.py."""

import socket
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from replaytree.errors import WorkersLost
from replaytree.evaluate import ray_daemon
from replaytree.evaluate.ray_daemon import RayDaemon


class Ray:
    """The sockets of a daemon and a head, and what RayDaemon asks of the module."""

    def __init__(self, folder):
        path = f"{folder}/raylet"
        self.daemon, self.head = socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))
        self.daemon.bind(path)
        self.daemon.listen()
        head = f"127.0.0.1:{self.head.getsockname()[1]}"
        context = SimpleNamespace(get_node_id=lambda: "here", gcs_address=head)
        self.get_runtime_context = lambda: context
        self.nodes = lambda: [{"NodeID": "there"}, {"NodeID": "here", "RayletSocketName": path}]
        self.disconnected = threading.Event()
        self.shutdown = self.disconnected.set
        self.is_initialized = lambda: not self.disconnected.is_set()


@pytest.fixture
def ray(monkeypatch):
    monkeypatch.setattr(ray_daemon, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(ray_daemon, "HEAD_SECONDS", 0.1)
    # The path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory() as folder:
        ray = Ray(folder)
        with closing(ray.daemon), closing(ray.head):
            yield ray


def test_the_end_of_the_daemon_disconnects_after_the_call_under_way(ray):
    daemon = RayDaemon(ray)
    line, _ = ray.daemon.accept()
    with daemon.calling():
        line.close()
        assert not ray.disconnected.wait(0.2)
    assert ray.disconnected.wait(10)
    with pytest.raises(WorkersLost, match=r"Ray's daemon on this machine \(raylet\) has ended"), daemon.calling():
        pytest.fail("no call may follow")


def test_a_head_that_answers_is_left_alone_and_one_that_does_not_disconnects(ray):
    daemon = RayDaemon(ray)
    assert not ray.disconnected.wait(0.5)
    with daemon.calling():
        port = ray.head.getsockname()[1]
    ray.head.close()
    assert ray.disconnected.wait(10)
    with pytest.raises(WorkersLost, match=rf"Ray's head \(127.0.0.1:{port}\) has not answered for 0.1 seconds"):
        daemon.require()


def test_what_is_closed_watches_no_longer_and_leaves_the_connection(ray):
    daemon = RayDaemon(ray)
    before = threading.active_count()
    line, _ = ray.daemon.accept()
    daemon.close()
    with suppress(OSError):
        assert line.recv(1) == b""
    line.close()
    ray.head.close()
    assert not ray.disconnected.wait(0.3)
    assert threading.active_count() < before
    daemon.require()


def test_without_a_connection_or_a_daemon_there_is_nothing_to_watch(ray):
    Path(ray.nodes()[1]["RayletSocketName"]).unlink()
    with pytest.raises(WorkersLost, match=r"raylet.* has ended"):
        RayDaemon(ray)
    ray.shutdown()
    with pytest.raises(WorkersLost, match="not connected to Ray any more; resume the search"):
        RayDaemon(ray)
