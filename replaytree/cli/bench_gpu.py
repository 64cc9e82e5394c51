"""`replaytree bench gpu`: parse, measure, print, and write what is known after each step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from replaytree.cli.options import DataDir, decimal, writable
from replaytree.cli.text import escaped, say


def gpu(
    json_: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the figures here after each step.", callback=writable),
    ] = None,
    minutes: Annotated[
        float, decimal("Minutes in all; what no time is left for is skipped.", low=0.1, high=600.0)
    ] = 9.0,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Every step small, also on a CPU: does the command work?")
    ] = False,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", metavar="STEP", help="Only this step; repeat.  [default: all]"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1.")] = "auto",
    data_dir: DataDir = None,
) -> None:
    """All about a GPU: does capturing work, what does a step cost, where does its time go, how fast is a search.

    Exit code 1 if a step failed.
    """
    from replaytree.bench.gpu import measure_gpu

    def told(name: str, figures: dict[str, Any]) -> None:
        own = figures[name]
        ended = own.get("failed") or own.get("skipped") or "done"
        say(f"{name:<13} {own.get('took_seconds', 0.0):6.1f} s  {escaped(str(ended))}", flush=True)
        if json_ is not None:
            json_.write_text(json.dumps(figures, indent=2) + "\n")

    figures = measure_gpu(device=device, minutes=minutes, smoke=smoke, data_dir=data_dir, only=step or (), told=told)
    if any("failed" in own for own in figures.values()):
        raise typer.Exit(1)
