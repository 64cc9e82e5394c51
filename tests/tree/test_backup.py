"""Copies are whole under their names, or are not there."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest

from replaytree.errors import StorageUnavailable
from replaytree.tree import ReplayTree, backup, check
from replaytree.tree.backup import rescue
from replaytree.tree.engine import back_up, reading


@pytest.fixture
def tree(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden, state=b"x" * 100_000)
    yield tree
    tree.engine.dispose()


def beside(tmp_path):
    return sorted(name for name in os.listdir(tmp_path) if not name.startswith("tree.db"))


def test_a_copy_holds_what_the_log_does_and_has_the_permissions_of_a_new_file(tree, tmp_path):
    copy = back_up(tree.engine, "0001")
    assert beside(tmp_path) == ["tree.backup-0001.db"]
    assert len(ReplayTree.open(f"sqlite:///{copy}", "first").nodes()) == 6
    (tmp_path / "new").touch()
    assert stat.S_IMODE(copy.stat().st_mode) == stat.S_IMODE((tmp_path / "new").stat().st_mode)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("place", ["during", "after"])
def test_an_interruption_leaves_no_file(tree, tmp_path, monkeypatch, error, place):
    def interrupt(*_):
        raise error

    if place == "after":
        monkeypatch.setattr(backup, "_flush", interrupt)
    else:
        # The file is there, and half of it is written, when the progress of the copy is told.
        # Ctrl-C is noticed where the progress of the copy is told, a page at a time here.
        monkeypatch.setattr(backup, "_PAGES_AT_ONCE", 1)
        monkeypatch.setattr(backup, "_progress", interrupt)
    with pytest.raises(error):
        back_up(tree.engine, "0001")
    assert beside(tmp_path) == []


def test_the_name_is_given_after_the_pages_are_on_the_disk(tree, tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "link"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, original=original: (done.append(name), original(*a))[1])
    back_up(tree.engine, "0001")
    assert done == ["fsync", "link", "fsync"]


def test_a_copy_that_another_process_makes_meanwhile_is_not_overwritten(tree, tmp_path, monkeypatch):
    original = os.link

    def link(source, target):
        monkeypatch.setattr(os, "link", original)
        target.write_text("precious")
        return original(source, target)

    monkeypatch.setattr(os, "link", link)
    assert back_up(tree.engine, "0001") == tmp_path / "tree.backup-0001-2.db"
    assert (tmp_path / "tree.backup-0001.db").read_text() == "precious"


def test_where_no_file_can_be_made_the_reason_is_told(tree, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.tempfile, "mkstemp", full)
    with pytest.raises(StorageUnavailable, match=r"no copy of .*tree.db can be made beside it \(No space left on dev"):
        back_up(tree.engine, "0001")


def test_a_rescued_database_lies_where_there_is_a_place(tree, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with reading(tree.engine) as connection:
        gone = tmp_path / "gone" / "tree.db"
        copy = rescue(connection, gone)
    assert copy == tmp_path / "here" / "tree.rescued.db"
    rescued = ReplayTree.open(f"sqlite:///{copy}", "first")
    assert (rescued.strategy_state(), check(rescued.engine)) == (b"x" * 100_000, [])


def test_what_a_killed_copy_left_is_removed_by_the_next_and_one_under_way_is_not(tree, tmp_path):
    left, under_way = (tmp_path / f".tree.backup-0001-{name}.partial" for name in ("left", "busy"))
    left.write_bytes(b"half")
    with under_way.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        back_up(tree.engine, "0001")
        assert beside(tmp_path) == [under_way.name, "tree.backup-0001.db"]
    back_up(tree.engine, "0001")
    assert beside(tmp_path) == ["tree.backup-0001-2.db", "tree.backup-0001.db"]
