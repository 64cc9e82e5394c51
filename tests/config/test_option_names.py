"""Options that texts name are options that commands have."""

import ast
import re
from pathlib import Path

import typer.main

import replaytree
from replaytree.cli import app
from replaytree.config import SearchConfig, by_flag

PACKAGE = Path(replaytree.__file__).parent
# Options of pip, Chromium, a CSS variable, and the beginning of --no-flip.
OTHERS = {
    "--disable-background-networking", "--disable-gpu", "--head", "--help", "--line", "--metadata", "--no-",
    "--no-first-run", "--no-sandbox", "--open", "--upgrade",
}  # fmt: skip


def options_of(command):
    """The options of a command and of those below it."""
    found = {word for param in command.params for word in (*param.opts, *param.secondary_opts)}
    return found.union(*(options_of(below) for below in getattr(command, "commands", {}).values()))


def named():
    """Every option that a text of the package names, with its place."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", node.value):
                    yield word, f"{file.relative_to(PACKAGE)}:{node.lineno}"


def test_every_option_that_a_text_names_exists():
    known = options_of(typer.main.get_command(app))
    found = dict(named())
    assert {word: place for word, place in found.items() if word not in known | OTHERS} == {}
    assert {"--max-layers", "--warm-start", "--storage", "--node"} <= set(found)


def test_every_field_has_its_option():
    run = typer.main.get_command(app).commands["run"]
    assert set(by_flag(SearchConfig)) <= options_of(run)


# Where an option's name is made of the name of a value, and the options that come of it.
MADE = {
    "config/option.py": set(),
    "config/removed.py": set(),
    "report/sections/answer.py": {
        "--max-params",
        "--max-flops",
        "--max-ram",
        "--max-flash",
        "--target-params",
        "--target-flops",
    },
    "search/turns.py": {"--episodes", "--trainings", "--hours"},
}


def test_an_option_made_of_a_name_exists():
    """A declared field knows its option. Elsewhere an option made of a name may not exist."""
    made = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if re.search(r"""["']--["'] \+|f["'][^"']*--\{""", file.read_text(encoding="utf-8"))
    }
    assert made == set(MADE)
    assert set().union(*MADE.values()) <= options_of(typer.main.get_command(app).commands["run"])
