import fcntl
import os
import stat
import subprocess
import sys
import threading

import pytest

from replaytree.deliver import writing
from replaytree.deliver.writing import only_writer, require_folder, require_target, write_whole
from replaytree.errors import ConfigError, ModelError


def test_a_file_is_written_whole_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "deep" / "m.onnx"
    write_whole(file, b"one")
    write_whole(file, b"two")
    assert file.read_bytes() == b"two"
    assert list(file.parent.iterdir()) == [file]
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "real" / "m.onnx")
    write_whole(tmp_path / "link.onnx", b"new")
    assert (tmp_path / "link.onnx").is_symlink()
    assert (tmp_path / "real" / "m.onnx").read_bytes() == b"new"


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "m.onnx"
    write_whole(file, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match=r"m\.onnx cannot be written: No space left on device; make room"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_while_writing_leaves_nothing(tmp_path, monkeypatch, stop):
    def stopped(_):
        raise stop

    monkeypatch.setattr(os, "fsync", stopped)
    with pytest.raises(stop):
        write_whole(tmp_path / "m.onnx", b"new")
    assert list(tmp_path.iterdir()) == []


def test_targets(tmp_path):
    file = tmp_path / "m.onnx"
    require_target(file, force=False)
    file.write_text("mine")
    require_target(file, force=True)
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "dead.onnx").symlink_to(tmp_path / "nothing")
    (tmp_path / "full.onnx").symlink_to("/dev/full")
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    for target, message in (
        (file / "m.onnx", "is a file, not a folder"),
        (tmp_path / "nowhere" / "m.onnx", "does not exist; make it"),
        (tmp_path / "dead.onnx" / "m.onnx", "does not exist; make it"),
        (tmp_path / "folder.onnx", "is a folder"),
        (tmp_path / "pipe.onnx", "not a regular file"),
        (tmp_path / "full.onnx", "not a regular file"),
        (tmp_path / "dead.onnx", "a link that leads nowhere"),
        (tmp_path / "loop.onnx", "levels of symbolic links"),
        (tmp_path / ("n" * 300 + ".onnx"), "File name too long"),
    ):
        with pytest.raises(ConfigError, match=f"{message}.*--out"):
            require_target(target, force=True)
    with pytest.raises(ConfigError, match=r"exists; .*--force"):
        require_target(file, force=False)


def test_folders(tmp_path):
    require_folder(tmp_path / "a" / "b")
    require_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    (tmp_path / "dead").symlink_to(tmp_path / "nothing")
    for folder, message in (
        (tmp_path / "file", "a file, not a folder"),
        (tmp_path / "file" / "b", "cannot be made: Not a directory"),
        (tmp_path / "dead", "a link that leads nowhere"),
        (tmp_path / ("n" * 300), "cannot be made: File name too long"),
    ):
        with pytest.raises(ConfigError, match=f"{message}.*--out"):
            require_folder(folder)


# What only_writer does, without the seconds that it takes to import torch.
HOLD = """
import fcntl, os, sys
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print(os.getpid(), file=lock, flush=True)
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_a_dead_one_is_none(tmp_path):
    file = tmp_path / "m.safetensors"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, file.with_suffix(".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        pid = other.stdout.readline().strip()
        with pytest.raises(ModelError, match=rf"another process \({pid}\) is training .*m\.safetensors"):
            only_writer(file).__enter__()
        other.kill()
        other.wait()
    assert file.with_suffix(".lock").exists()
    with only_writer(file):
        assert file.with_suffix(".lock").read_text() == str(os.getpid())
        with pytest.raises(ModelError, match="another process"):
            only_writer(file).__enter__()
    assert list(tmp_path.iterdir()) == []
    with only_writer(file):
        pass


def test_a_writer_that_has_yet_to_say_its_number_is_waited_for(tmp_path):
    """Between taking the lock and writing the number others see an empty file."""
    file, lock = tmp_path / "m.safetensors", tmp_path / "m.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(0.2, lambda: lock.write_text("4711")).start()
        with pytest.raises(ModelError, match=r"another process \(4711\) is training"):
            only_writer(file).__enter__()


def test_a_writer_that_never_says_its_number_is_unknown_and_one_that_ends_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_PAUSE", 0.01)
    file, lock = tmp_path / "m.safetensors", tmp_path / "m.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ModelError, match=r"another process \(unknown\) is training"):
            only_writer(file).__enter__()
        threading.Timer(0.03, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()
        with only_writer(file):
            assert lock.read_text() == str(os.getpid())
