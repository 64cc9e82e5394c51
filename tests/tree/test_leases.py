from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from replaytree.errors import DatabaseGone, LeaseLost, SearchHeld
from replaytree.records import PathEvaluation
from replaytree.tree import Episode, ReplayTree, check, leases
from replaytree.tree.deaths import Deaths
from replaytree.tree.engine import reading, writing
from replaytree.tree.leases import holder_of, process_identity
from replaytree.tree.schema import leases as table


@pytest.fixture
def other(tree, space):
    """The same search, opened a second time."""
    return ReplayTree.open(tree.engine, "first", space=space)


def change(tree, **values):
    with writing(tree.engine) as connection:
        connection.execute(update(table), values)


def row(tree):
    with reading(tree.engine) as connection:
        return connection.execute(select(table)).one_or_none()


def one(path=(1,), accuracy=0.5):
    return [Episode(path, "sample", 1, 4, True, PathEvaluation([accuracy] * len(path)))]


def test_one_driver_at_a_time(tree, other, golden):
    with tree.driving():
        tree.record(golden, state=b"mine")
        for attempt in (other.require_free, lambda: other.driving().__enter__()):
            with pytest.raises(SearchHeld) as caught:
                attempt()
            text = str(caught.value)
            assert f"search 'first' is being run by process {os.getpid()} on {socket.gethostname()}, since 20" in text
            assert "last seen 0:00:00 (h:mm:ss) ago" in text
            assert "`replaytree resume first --take-over" in text
    assert row(tree) is None
    other.require_free()
    with other.driving():
        assert other.record(one(), state=b"yours")


def test_the_row_says_who_drives(tree):
    before = datetime.now(UTC) - timedelta(seconds=1)
    with tree.driving():
        held = row(tree)
        assert (held.host, held.pid) == (socket.gethostname(), os.getpid())
        assert held.process == process_identity(os.getpid())
        assert before < held.acquired_at <= held.heartbeat_at
        assert holder_of(tree.engine, 1).silent_seconds < 60


def test_the_lease_is_given_back_whatever_ends_the_block(tree):
    with pytest.raises(KeyboardInterrupt), tree.driving():
        raise KeyboardInterrupt
    assert row(tree) is None


def test_leases_of_different_searches_do_not_meet(tree, create):
    second = create(tree.engine, "second")
    with tree.driving(), second.driving():
        tree.record(one(), state=b"1")
        second.record(one(), state=b"2")
    assert (tree.strategy_state(), second.strategy_state()) == (b"1", b"2")


def test_late_results_are_stored_and_the_state_is_the_new_drivers(tree, other, golden):
    with tree.driving():
        tree.record(golden[:1], state=b"old")
        with other.driving(take_over=True):
            other.record(golden[1:3], state=b"new")
            with pytest.raises(LeaseLost, match=r"search 'first' was taken over by process \d+ on .*, since 20"):
                tree.record(golden[3:], state=b"stale")
            assert other.strategy_state() == b"new"
            assert check(tree.engine) == []
            other.record(one((2,), 0.75), state=b"newer")
    assert row(tree) is None
    # Of the last two golden episodes the replay was not trained, and is not stored.
    assert [(e.number, e.path, e.source) for e in tree.episodes()] == [
        (0, (0, 1), "sample"),
        (1, (0, 1, 2), "continue"),
        (2, (2,), "sample"),
        (3, (0, 2, 1), "sample"),
        (4, (2,), "sample"),
    ]
    node = tree.node((2,))
    assert (node.budget_evaluation_count, node.epochs, tree.node((0,)).visit_count) == (1, 8, 3)
    assert tree.strategy_state() == b"newer"
    assert check(tree.engine) == []


def test_late_results_before_the_new_driver_has_stored_anything(tree, other):
    with tree.driving(), other.driving(take_over=True):
        with pytest.raises(LeaseLost):
            tree.record(one(), state=b"stale")
        assert other.strategy_state() is None
        assert (other.episode_count, other.node((1,)).evaluation_count) == (1, 1)
        assert check(tree.engine) == []


def test_a_lease_that_was_taken_and_given_back_is_lost_all_the_same(tree, other):
    with tree.driving():
        with other.driving(take_over=True):
            other.record(one(), state=b"new")
        with pytest.raises(LeaseLost, match="another process, which has finished"):
            tree.record(one(), state=b"stale")
    assert tree.strategy_state() == b"new"


def test_giving_back_a_lost_lease_leaves_the_new_one(tree, other):
    first = tree.driving()
    first.__enter__()
    with other.driving(take_over=True):
        first.__exit__(None, None, None)
        other.record(one(), state=b"new")


@pytest.fixture
def dead():
    """The identity of a process that has ended: (pid, identity)."""
    process = subprocess.Popen(["sleep", "60"])
    identity = process_identity(process.pid)
    process.kill()
    process.wait()
    return process.pid, identity


def test_a_dead_holder_is_replaced_without_a_word(tree, other, dead):
    with tree.driving():
        change(tree, pid=dead[0], process=dead[1])
        other.require_free()
        with other.driving():
            other.record(one(), state=b"new")


def test_a_killed_process_that_nobody_has_waited_for_is_dead():
    process = subprocess.Popen(["sleep", "60"])
    assert process_identity(process.pid) is not None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity(process.pid) is None
    process.wait()


def test_a_process_of_a_reused_number_is_not_the_holder(tree, other):
    """Our parent lives, and it did not start when the holder did."""
    parent = process_identity(os.getppid())
    with tree.driving():
        change(tree, pid=os.getppid(), process=parent)
        with pytest.raises(SearchHeld, match=f"process {os.getppid()} on"):
            other.require_free()
        change(tree, process=f"{parent}0")
        other.require_free()


def test_a_lease_that_this_process_has_dropped_is_free(tree, other):
    """As after a run whose database was away when it ended."""
    with tree.driving():
        change(tree, holder="left behind")
        other.require_free()


@pytest.mark.parametrize("away", [{"host": "elsewhere"}, {"process": "another-boot/pid:[1] 1:1"}])
def test_a_holder_that_cannot_be_seen_from_here_is_taken_over_only_when_told(tree, other, dead, away):
    with tree.driving():
        change(tree, pid=dead[0], process=dead[1])
        change(tree, **away, heartbeat_at=datetime.now(UTC) - timedelta(minutes=5))
        with pytest.raises(
            SearchHeld, match=r"is held by process \d+ on .*last seen 0:05:0\d .*; if that process is dead"
        ):
            other.require_free()
        with other.driving(take_over=True):
            assert row(tree).host == socket.gethostname()


def test_the_holder_beats_until_the_end(tree, monkeypatch):
    if tree.engine.url.database in (None, ":memory:"):
        pytest.skip("nobody else can see a database in memory")
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.02)
    with tree.driving():
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        change(tree, heartbeat_at=long_ago)
        deadline = time.monotonic() + 30
        while row(tree).heartbeat_at == long_ago:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    beating = [thread for thread in threading.enumerate() if thread.name == "lease of first"]
    for thread in beating:
        thread.join(30)
    assert not any(thread.is_alive() for thread in beating)
    assert row(tree) is None


def test_many_take_a_free_lease_and_one_gets_it(tree, other, url):
    if url == "sqlite://":
        pytest.skip("a database in memory has one connection")
    gate, got, refused = threading.Barrier(4), [], []

    def take():
        gate.wait()
        try:
            got.append(leases.Lease(tree.engine, 1, "first"))
        except SearchHeld as held:
            refused.append(held)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 3)
    got[0].release()


def test_a_file_that_is_deleted_while_a_search_is_driven_is_saved_with_the_last_record(create, golden, space, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")
    tree.record(golden[:2], state=b"1")

    def drive():
        with tree.driving():
            for name in ("tree.db", "tree.db-wal", "tree.db-shm"):
                (tmp_path / name).unlink()
            tree.record(golden[2:], state=b"2")

    with pytest.raises(DatabaseGone, match=r"deleted or moved away .*; its 5 episodes, the last one too, are saved in"):
        drive()
    assert os.listdir(tmp_path) == ["tree.rescued.db"]
    saved = ReplayTree.open(f"sqlite:///{tmp_path}/tree.rescued.db", "first", space=space)
    assert (saved.strategy_state(), check(saved.engine), saved.require_free()) == (b"2", [], None)
    assert [e.path for e in saved.episodes()] == [e.path for e in golden]


def test_a_file_that_is_gone_after_the_last_record_is_noticed_at_the_end(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")

    def drive():
        with tree.driving():
            tree.record(golden, state=b"1")
            (tmp_path / "tree.db").rename(tmp_path / "elsewhere.db")

    with pytest.raises(DatabaseGone, match="its 5 episodes, the last one too, are saved in"):
        drive()


def test_the_training_under_way_is_noted_and_the_note_goes_with_the_lease(tree):
    with tree.driving():
        assert row(tree).deaths is None
        with tree.training("a"):
            assert Deaths.of_text(row(tree).deaths) == Deaths({}, ("a",))
        assert row(tree).deaths is None
        with pytest.raises(KeyError), tree.training("b"):
            raise KeyError
        assert row(tree).deaths is None
    with tree.training("outside of driving"):
        assert row(tree) is None


def test_a_training_in_which_the_driver_died_is_counted_for_the_next(tree, other, dead):
    def die(driver, training):
        driver._lease.note(driver._lease.deaths.began(training))
        change(tree, pid=dead[0], process=dead[1])

    third = ReplayTree.open(tree.engine, "first")
    with tree.driving():
        die(tree, "a")
        with other.driving():
            assert (other.deaths_in("a"), other.deaths_in("b")) == (1, 0)
            # The count is stored at once: it outlives a process that dies before it trains anything.
            assert Deaths.of_text(row(tree).deaths) == Deaths({"a": 1})
            die(other, "a")
            with third.driving():
                assert third.deaths_in("a") == 2
    with tree.driving():
        assert tree.deaths_in("a") == 0


@pytest.mark.parametrize(("silent", "count"), [(1, 0), (3600, 1)])
def test_a_driver_that_is_relieved_died_if_it_has_long_been_silent(tree, other, silent, count):
    with tree.driving():
        tree._lease.note(Deaths({"b": 1}, "a"))
        change(tree, host="elsewhere", heartbeat_at=datetime.now(UTC) - timedelta(seconds=silent))
        with other.driving(take_over=True):
            assert (other.deaths_in("a"), other.deaths_in("b")) == (count, 1)


def test_a_driver_that_could_only_not_give_its_lease_back_did_not_die(tree, other):
    first = tree.driving()
    first.__enter__()
    tree._lease.note(Deaths({}, "a"))
    tree._lease._ended.set()
    leases._held_here.discard(tree._lease.token)
    with other.driving():
        assert other.deaths_in("a") == 0


def test_a_database_that_is_away_is_told_by_the_record_and_not_by_the_note(create, golden, tmp_path):
    tree = create(f"sqlite:///{tmp_path}/tree.db")

    def drive():
        with tree.driving():
            (tmp_path / "tree.db").rename(tmp_path / "elsewhere.db")
            with tree.training("a"):
                pass
            tree.record(golden, state=b"1")

    with pytest.raises(DatabaseGone, match="its 5 episodes, the last one too, are saved in"):
        drive()
