"""The reference of all commands, made from their own help: `python -m replaytree.cli.reference`.

It also makes the typed keywords of a search anew (keywords.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from replaytree.cli import app, keywords

FILE = Path(__file__).with_name("README.md")
WIDTH = 100


def reference() -> str:
    """Every command with its help, as Markdown."""
    parts = ["# Commands\n\nMade by `python -m replaytree.cli.reference`; `replaytree COMMAND --help` says the same.\n"]
    group: Any = typer.main.get_command(app)
    with group.make_context("replaytree", [], resilient_parsing=True, max_content_width=WIDTH) as context:
        for path, text in _helps(group, context):
            parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(group: Any, context: Any) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        with command.context_class(
            command, parent=context, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH
        ) as own:
            own.meta["replaytree.help_all"] = True
            if hasattr(command, "list_commands"):
                yield from _helps(command, own)
            else:
                yield own.command_path, command.get_help(own).strip()


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
    for file, text in keywords.keywords().items():
        file.write_text(text, encoding="utf-8")
