"""The README is true: its commands exist, its Python runs, its SQL answers."""

import re
import sqlite3
from pathlib import Path

import pytest
import typer.main

from replaytree.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = {kind: re.findall(rf"^```{kind}\n(.*?)^```", README, re.M | re.S) for kind in ("python", "sql", "sh")}


def commands(group=None, prefix=""):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_is_in_the_readme(name):
    assert f"`replaytree {name}" in README


def test_every_option_in_the_readme_exists():
    everything = [typer.main.get_command(app), *(command for _, command in commands())]
    parameters = [parameter for command in everything for parameter in command.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    # --help is typer's own; the others belong to pip and git.
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--help"}
    assert named <= known


def test_the_python_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)
    assert len(BLOCKS["python"]) >= 3
    for block in BLOCKS["python"]:
        exec(compile(block, "README.md", "exec"), {})
    with sqlite3.connect(tmp_path / "replaytree.db") as connection:
        for query in BLOCKS["sql"][0].split(";\n"):
            if query.strip():
                assert connection.execute(query).fetchall()
