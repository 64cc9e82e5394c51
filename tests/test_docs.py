"""The texts are true: their commands, options and links exist, README's Python runs, its SQL answers."""

import re
import sqlite3
from pathlib import Path

import pytest
import typer.main

from replaytree.cli import app, keywords, reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "reports" / "benchmarks").glob("*.md"))]
README = PAGES[0].read_text()
# Options of pip, git and of typer itself.
FOREIGN = {"--help", "--help-all"}
BLOCKS = {kind: re.findall(rf"^```{kind}\n(.*?)^```", README, re.M | re.S) for kind in ("python", "sql", "sh")}


def commands(group=None, prefix=""):
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_the_reference_is_what_the_commands_say():
    assert reference.FILE.read_text() == reference.reference(), "run python -m replaytree.cli.reference"
    for file, text in keywords.keywords().items():
        assert file.read_text() == text, "run python -m replaytree.cli.reference"


def test_the_reference_has_every_command_and_every_option():
    text = reference.FILE.read_text()
    for name, command in commands():
        section = text.split(f"## replaytree {name}\n", 1)[1].split("\n## ", 1)[0]
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert all(option in section for option in parameter.opts), (name, parameter.opts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_in_the_texts_exists(page):
    everything = [typer.main.get_command(app), *(command for _, command in commands())]
    parameters = [parameter for command in everything for parameter in command.params]
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())) - FOREIGN
    # The scripts of tests/crash have options of their own.
    scripts = "".join(path.read_text() for path in (ROOT / "tests" / "crash").glob("*.py"))
    assert {option for option in named - known if option not in scripts} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_in_the_texts_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_readme_can_be_read_in_one_sitting():
    assert len(README.splitlines()) <= 150


def test_the_python_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)
    assert len(BLOCKS["python"]) >= 2
    names = {}
    for block in BLOCKS["python"]:
        exec(compile(block, "README.md", "exec"), names)
    with sqlite3.connect(tmp_path / "replaytree.db") as connection:
        for query in BLOCKS["sql"][0].split(";\n"):
            if query.strip():
                assert connection.execute(query).fetchall()
