"""What people and files bring is printed as text, whatever the terminal: nothing steers it, nothing is markup."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table

from replaytree.cli.console import _log_handler
from replaytree.cli.plain_console import plain_console
from replaytree.cli.text import escaped, say
from replaytree.space import LabelSpace
from replaytree.tree import ReplayTree, open_engine

HOSTILE = ["\x1b[2J", "\x07", "\x9b31m", "\u202egpj.exe", "\u2066", "\u200b", "\ufeff", "\udcff", "\0", "\r", "\x7f"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 搜 🌳", "plain ü 搜 🌳"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("x\u202ey", "x\\u202ey"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("C:\\new", "C:\\new"),
        (5, "5"),
    ],
)
def test_escaped(text, shown):
    assert escaped(text) == shown


def test_say_keeps_lines_and_nothing_else(capsys):
    say("two\nlines\x1b]0;owned\x07")
    say("wrong\x1b[1m", error=True)
    assert capsys.readouterr() == ("two\nlines\\x1b]0;owned\\x07\n", "wrong\\x1b[1m\n")


@pytest.mark.parametrize("text", [*HOSTILE, "[/]", "[red]x[/red]", "cat[final].png", ":tree:", "[link=x]y"])
def test_a_table_shows_text_as_it_is(text):
    out = io.StringIO()
    table = Table(title=text, box=None)
    table.add_column(text)
    table.add_row(text)
    plain_console(out).print(table)
    plain_console(out).print(text)
    assert out.getvalue().count(escaped(text)) == 4
    assert escaped(out.getvalue(), keep="\n") == out.getvalue()


@pytest.mark.parametrize("text", [*HOSTILE, "[/]", "cat[final].png"])
def test_logs_beside_the_bar_and_without_one(text, capsys):
    out = io.StringIO()
    with Progress(TextColumn("x", markup=False), console=plain_console(out)):
        handler = _log_handler(plain_console(out))
        handler.handle(logging.LogRecord("replaytree", logging.WARNING, "", 0, "lost %s", (text,), None))
    _log_handler(None).handle(logging.LogRecord("replaytree", logging.WARNING, "", 0, "lost %s", (text,), None))
    assert f"lost {escaped(text)}" in out.getvalue()
    assert f"lost {escaped(text)}" in capsys.readouterr().err


NAMES = ["[/]", "cat[final].png", "Süche 🌳", "a\x1b[2Jb\u202ec"]


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A database whose searches have names that today's replaytree would refuse, as older ones did not."""
    file = tmp_path_factory.mktemp("named") / "named.db"
    engine = open_engine(f"sqlite:///{file}")
    for number, name in enumerate(NAMES):
        ReplayTree.create(
            engine,
            f"n{number}",
            space=LabelSpace(["conv"], max_layers=1),
            seed=0,
            config_json='{"seed": 0}',
            versions={},
        )
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE searches SET name = ? WHERE name = ?", (name, f"n{number}"))
    engine.dispose()
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_list_and_errors_on_any_terminal(named, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "LANG": "C", "COLUMNS": "100"}
    command = [sys.executable, "-m", "replaytree.cli", "list", "--storage", f"sqlite:///{named}"]
    listed = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    for name in NAMES:
        assert escaped(name).encode(encoding, "backslashreplace") in listed.stdout
    assert b"\x1b" not in listed.stdout
    command[3:4] = ["best", "no\udcffne"]
    wrong = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith(b"Error: no search 'no\\udcffne' in ")
    assert wrong.stderr.count(b"\n") == 1
    assert b"\x1b" not in wrong.stderr
