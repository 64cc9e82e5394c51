"""How every `replaytree bench` command ends: the machine, and the figures in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from replaytree.cli.options import writable
from replaytree.cli.text import say

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to this file.", callback=writable)
]


def finish(figures: dict[str, Any], path: Path | None) -> None:
    """Print the machine; write it with the figures to the file, if one is given."""
    from replaytree.bench.machine import machine

    here = machine()
    say(", ".join(f"{key} {value}" for key, value in here.items()))
    if path is not None:
        path.write_text(json.dumps({"machine": here, **figures}, indent=2) + "\n")
