"""`replaytree datasette-metadata`: browse a database with Datasette."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli.options import Storage, engine_of
from replaytree.cli.text import escaped, say
from replaytree.errors import ConfigError


def datasette_metadata(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("metadata.json"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    storage: Storage = None,
) -> None:
    """Write the metadata with which Datasette shows a SQLite database: questions about each search, and links."""
    from replaytree.tree.datasette import datasette_metadata as metadata

    file, found = metadata(engine_of(storage))
    if out.exists() and not force:
        raise ConfigError(f"{out} exists; choose another file with --out, or give --force to replace it")
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    say(f"{escaped(out)}: {len(found['databases'][file.stem]['queries'])} queries")
    say("\nNext:\n  pip install datasette")
    say(f"  {escaped(shlex.join(['datasette', str(file), '--metadata', str(out), '--open']))}")
