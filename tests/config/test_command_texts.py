"""Commands in messages come from config.command, which quotes for the shell and knows the database."""

import ast
import re
from pathlib import Path

from sqlalchemy import make_url

import replaytree
from replaytree.cli import app
from replaytree.tree.storage_errors import advice

PACKAGE = Path(replaytree.__file__).parent
# Texts that name a command, and are none to paste: what it works on is not known there, or is the reader's choice.
NAMES_OF_COMMANDS = {
    "list",
    "spaces",
    "spaces NAME",
    "db check",
    "retrain",
    "baseline",
    "best",
    "export",
    "db export",
    "db export NAME FILE",
    "db import --storage FILE",
}
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands} | {"db", "bench"}
# The two that build commands: for messages, and for pages, where a password must not be.
BUILDERS = {"config/storage.py", "report/commands.py"}


def texts(file):
    """Every string of a file but docstrings, as one text, with {} for what an f-string puts in."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            inner.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def test_no_command_is_built_by_hand():
    seen = set()
    for file in sorted(PACKAGE.rglob("*.py")):
        where = file.relative_to(PACKAGE).as_posix()
        for line, text in texts(file):
            for found in re.finditer(r"(`?)\breplaytree ([a-z]+)([^`]*)(`?)", text):
                if found[2] not in COMMANDS:
                    continue
                mention = (found[2] + found[3]) if found[1] and found[4] else found[0]
                seen.add(mention)
                assert mention in NAMES_OF_COMMANDS, f"{where}:{line}: {found[0]!r}: use config.command or tree.advice"
    assert "list" in seen


def test_two_places_put_the_words_of_a_command_together():
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            words = node.elts[:2] if isinstance(node, ast.List | ast.Tuple) else []
            # Packages are listed as well, but all as constants.
            if [getattr(word, "value", 0) for word in words[:1]] == ["replaytree"] and not isinstance(
                words[-1], ast.Constant
            ):
                found.add(file.relative_to(PACKAGE).as_posix())
    assert found == BUILDERS


def test_advice_names_the_database_where_it_would_be_missed(monkeypatch):
    monkeypatch.delenv("REPLAYTREE_STORAGE", raising=False)
    here, other = make_url("sqlite:///replaytree.db"), make_url("sqlite:////data/my trees.db")
    assert advice(here, "resume", "it's") == "`replaytree resume 'it'\"'\"'s'`"
    assert advice(other, "db", "check") == "`replaytree db check --storage 'sqlite:////data/my trees.db'`"
    server = make_url("postgresql+psycopg://me:secret@host/db")
    assert advice(server, "list") == "`replaytree list --storage 'postgresql://me:***@host/db'`"
    monkeypatch.setenv("REPLAYTREE_STORAGE", "postgresql://me:secret@host/db")
    assert advice(server, "list") == "`replaytree list`"
