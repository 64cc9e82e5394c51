"""One value of a real search is changed by hand, column by column: `db check` says so, and no command ends badly."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest

from replaytree import Search, cli
from replaytree.search import stored
from replaytree.tree import open_engine, record_model
from replaytree.tree.check import find_problems
from replaytree.tree.class_results import ClassResults
from replaytree.tree.engine import OPENED, reading
from replaytree.tree.evaluator_states import state_problems as lost_files

HOSTILE = {
    "null": "NULL",
    "text": "'abc'",
    "empty": "''",
    "blob": "x'00FF'",
    "huge": "9223372036854775807",
    "minus": "-3",
    "half": "0.5",
    "infinite": "9e999",
    "escape": "'a' || CHAR(27) || '[2J'",
    "zero": "'a' || CHAR(0) || 'b'",
    "not UTF-8": "CAST(x'61FF' AS TEXT)",
    "list": "'[]'",
    "object": "'{}'",
    "nested": "REPLACE(HEX(ZEROBLOB(20000)), '00', '[')",
    "NaN": "'{\"seed\": NaN}'",
}
# What may stand there all the same. Text of any kind is a name, a failure's text, a file, or what a process is called,
# and SQLite makes texts of numbers in a column of texts.
ANY_TEXT = ("text", "escape", "list", "object", "nested", "NaN", "huge", "minus", "half", "infinite")
LEGAL = {
    ("searches", "name"): ANY_TEXT,
    ("searches", "data_json"): ("null",),
    ("searches", "versions_json"): ("object",),
    ("episodes", "failure"): ("null",),
    ("episodes", "failure_text"): (*ANY_TEXT, "empty"),
    ("episodes", "train_seconds"): ("null", "half", "huge"),
    ("episodes", "policy_loss"): ("null", "minus", "half", "huge"),
    ("episodes", "entropy"): ("null", "half", "huge"),
    ("evaluations", "accuracy"): (),
    ("noise_factors", "factor"): (),
    ("leases", "holder"): (*ANY_TEXT, "empty"),
    ("leases", "host"): (*ANY_TEXT, "empty"),
    ("leases", "process"): (*ANY_TEXT, "empty"),
    # A path of two layers: what was measured of whole paths alone has no shorter ones.
    ("priors", "path"): ("half",),
    ("priors", "total_accuracy"): ("half",),
    ("checkpoints", "accuracy"): ("half",),
    ("goals", "episodes"): ("null", "huge"),
    ("goals", "trainings"): ("null", "huge"),
    ("goals", "seconds"): ("null", "half", "huge"),
    ("goals", "used_seconds"): ("half", "huge"),
    ("models", "node_id"): ("null",),
    ("models", "seed"): ("huge",),
    ("models", "test_accuracy"): ("null", "half"),
    ("models", "test_image_count"): ("null",),
    ("models", "weights_path"): ANY_TEXT,
    ("models", "baseline"): ("null", "text", "huge", "minus", "half", "infinite", "list", "object", "nested", "NaN"),
    ("models", "params"): ("null", "huge"),
    ("models", "flops"): ("null", "huge"),
    ("models", "ram_bytes"): ("null", "huge"),
    ("models", "validation_accuracy"): ("null", "half"),
    ("models", "validation_image_count"): ("null",),
    ("models", "training_json"): ("null", "object"),
    ("class_results", "pictures"): ("null", "blob"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A database with rows in every table."""
    file = tmp_path_factory.mktemp("tampering") / "search.db"
    images = {"dataset": "digits", "train_limit": 100}
    own = {**images, "width": 0.0625, "max_layers": 2, "epochs_first": 2, "epochs_last": 2}
    told = {"warm_start": "first"}
    # Alone in having a state of its evaluator, and rescores; what is changed elsewhere is of the second.
    shared = Search(name="shared", storage=f"sqlite:///{file}", weights="shared", width=0.0625, max_layers=2, **images)
    shared.run(trainings=2)
    first = Search(name="first", storage=f"sqlite:///{file}", **own).run(trainings=2)
    second = Search(name="second", storage=f"sqlite:///{file}", **told, **own).run(trainings=4)
    node = second.tree.best(1)[0]
    record_model(
        second.tree.engine, labels=node.labels, seed=0, epochs=1, test_accuracy=0.5, weights_path="/models/a",
        search="second", node_id=node.node_id, baseline="linear", params=10, flops=20, ram_bytes=30,
        validation_accuracy=0.25, validation_image_count=8, test_image_count=4, training={"epochs": 1},
        class_results=ClassResults("test", ("cat", "dog"), ((1, 1), (0, 2)), {(0, 1): b"PNG"}),
    )  # fmt: skip
    for search in (shared, first, second):
        search.tree.engine.dispose()
    with closing(sqlite3.connect(file)) as connection:
        now = "'2026-01-01 00:00:00.000000'"
        connection.execute(f"INSERT INTO leases VALUES (2, 'h', 'host', 1, 'p', {now}, {now}, NULL)")
        connection.execute("INSERT OR IGNORE INTO goals VALUES (3, 4, 4, 60.0, 1.0)")
        connection.commit()
        connection.execute("PRAGMA journal_mode=DELETE")
        empty = [table for table, _ in columns(file) if not connection.execute(f"SELECT 1 FROM {table}").fetchone()]
        assert empty == []
    return file


def columns(file):
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%alembic%'"
        ).fetchall()
        return [(table, row[1]) for (table,) in tables for row in connection.execute(f"PRAGMA table_info({table})")]


def tamper(connection, table, column, value):
    """Change the last row; False where SQLite itself will not have it, or it is what was there."""
    connection.execute("PRAGMA ignore_check_constraints=ON")
    where = f"rowid = (SELECT MAX(rowid) FROM {table})"
    try:
        changed = connection.execute(
            f"UPDATE {table} SET {column} = {value} WHERE {where} AND {column} IS NOT {value}"
        ).rowcount
    except sqlite3.IntegrityError:
        return False
    return changed == 1


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_check_finds_every_value_that_may_not_be_there(template, every):
    engine = open_engine(f"sqlite:///{template}")
    assert stored.check(engine) == []
    missed, needless, tried = [], [], 0
    cases = [(*place, *value) for place in columns(template) for value in HOSTILE.items()]
    # 4 and the 15 values have no factor in common, so that every column and every value has its turn.
    for table, column, name, value in cases[::every]:
        with reading(engine) as connection:
            driver = connection.connection.driver_connection
            try:
                if tamper(driver, table, column, value):
                    tried += 1
                    found = find_problems(connection)
                    if column in ("payload", "episode_count"):
                        found += stored.state_problems(connection)
                    if table == "evaluator_states" and not found:
                        found += lost_files(connection, engine)
                    legal = name in LEGAL.get((table, column), ())
                    if bool(found) == legal:
                        (needless if legal else missed).append((table, column, name, [p.text for p in found][:2]))
            finally:
                connection.rollback()
    assert not missed, missed
    assert not needless, needless
    assert tried > 900 / every


COMMANDS = (
    ("list",),
    ("best", "second"),
    ("best", "second", "--pareto"),
    ("show", "second", "{node}"),
    ("report", "second"),
    ("db", "export", "second", "second.gz"),
    ("db", "check"),
    ("db", "check", "--repair"),
    ("resume", "second", "--quiet", "--trainings", "1"),
)


@pytest.mark.parametrize("every", [211, pytest.param(31, marks=pytest.mark.slow)])
def test_no_command_ends_in_a_traceback(template, every, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ends = []
    values = ("text", "blob", "not UTF-8", "minus", "nested", "infinite")
    cases = [(*place, name, c) for place in columns(template) for name in values for c in COMMANDS]
    for number, (table, column, name, command) in enumerate(cases[::every]):
        (tmp_path / "second.gz").unlink(missing_ok=True)
        file = shutil.copy(template, f"{number}.db")
        with closing(sqlite3.connect(file)) as connection:
            (node,) = connection.execute("SELECT MAX(id) FROM nodes").fetchone()
            tamper(connection, table, column, HOSTILE[name])
            connection.commit()
        words = [word.format(node=node) for word in command]
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--storage", f"sqlite:///{file}"])
        told = capsys.readouterr().err.splitlines()
        if ended.value.code not in (0, 1, 2) or len(told) > 1 or any("\x1b" in line for line in told):
            ends.append((table, column, name, command, ended.value.code, told))
    assert not ends, "\n".join(map(str, ends))


RESUME = "resume first --trainings 1 --take-over"


@pytest.mark.parametrize(
    ("change", "commands"),
    [
        ("nodes SET params = 'many'", ("best first", "show first {node}", "best first --json")),
        ("nodes SET visit_count = x'00'", ("best first", "show first {node}", "report first --out {folder}/r.html")),
        ("node_budgets SET params_rank = 'many'", ("best first", "list")),
        ("node_budgets SET average_accuracy = 'many'", ("best first", "list")),
        (
            "episodes SET trained = 'yes'",
            ("list", "report first --out {folder}/r.html", RESUME),
        ),
        ("episodes SET train_seconds = 'long'", ("report first --out {folder}/r.html",)),
        (
            "searches SET seed = 'seven'",
            ("list", "compare first second --out {folder}/r.html", RESUME),
        ),
        ("searches SET versions_json = '[]'", ("list",)),
        ("searches SET data_json = '{}'", ("list", "best first")),
    ],
)
def test_a_value_of_a_wrong_type_is_named_by_every_command_that_needs_it(template, change, commands, tmp_path, capsys):
    file = shutil.copy(template, tmp_path / "t.db")
    with closing(sqlite3.connect(file)) as connection:
        named = "SELECT MIN(nodes.id) FROM nodes JOIN searches ON searches.id = search_id WHERE name = 'first'"
        (node,) = connection.execute(named).fetchone()
        connection.execute(f"UPDATE {change}")
        connection.commit()
    for command in commands:
        # Those of earlier cases, which a process of its own would not have.
        OPENED.clear()
        with pytest.raises(SystemExit) as ended:
            cli.main([*command.format(folder=tmp_path, node=node).split(), "--storage", str(file)])
        out, told = capsys.readouterr()
        column = change.split(" SET ")[1].partition(" ")[0]
        assert (ended.value.code, out, told.count("\n")) == (2, "", 1), (command, out, told)
        assert f"column {column} is " in told
        assert "db check" in told
