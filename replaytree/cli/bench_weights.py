"""`replaytree bench weights`, `supernet`: how far scores with shared weights can be trusted, and what they cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import DataDir, decimal, readable, whole
from replaytree.cli.text import say


def weights(
    table: Annotated[Path, typer.Argument(metavar="FILE", help="A digits table or a truth table.", callback=readable)],
    passes: Annotated[
        list[float] | None,
        decimal("Passes over the training images, of a supernet; repeat.  [default: 80]", low=1e-3, high=1e6),
    ] = None,
    short: Annotated[
        list[int] | None, whole("Epochs of short fresh trainings; repeat, 0 for none.  [default: 2]", least=0)
    ] = None,
    inherited: Annotated[
        list[int] | None,
        whole("Epochs of trainings that start from a prefix's weights; repeat, 0 for none.  [default: 2]", least=0),
    ] = None,
    seeds: Annotated[int, whole("Supernets, and short trainings of every path.")] = 2,
    first_seed: Annotated[int, whole("The first of the seeds.", least=0)] = 0,
    data_dir: DataDir = None,
    json_: Json = None,
) -> None:
    """Kendall's tau of shared, inherited and other scores with full trainings: pooled, within a depth, better half.

    Regret is of the ten that are ranked first, in points. Cost is in processor seconds, and in trainings of a path.
    """
    from replaytree.bench.weights import measure_weights

    found = []
    for way in measure_weights(
        table,
        passes=passes or [80.0],
        short_epochs=[epochs for epochs in (short or [2]) if epochs],
        inherited_epochs=[epochs for epochs in (inherited or [2]) if epochs],
        seeds=range(first_seed, first_seed + seeds),
        data_dir=data_dir,
    ):
        found.append(way)
        say(
            f"{way.table}, {way.paths} paths  {way.method:<23} tau {way.tau:.3f} ({min(way.taus):.3f} to "
            f"{max(way.taus):.3f}, n = {len(way.taus)}), within a depth {way.within:.3f}, better half "
            f"{way.better_half:.3f}, regret of ten {way.regret:.2f}, training {way.train_seconds:.1f} s "
            f"({way.trainings:.1f} trainings), scores {way.score_seconds:.1f} s",
            flush=True,
        )
    finish({"weights": [asdict(way) for way in found]}, json_)


def supernet(
    turns: Annotated[int, whole("Instead, the resident memory over so many turns; 0: the steps.", least=0)] = 0,
    every: Annotated[int, whole("Turns between two looks.")] = 500,
    paths: Annotated[int, whole("Paths whose steps are timed.")] = 30,
    json_: Json = None,
) -> None:
    """Processor time of a supernet's training step, as a ratio to a step of the path that it takes.

    With --turns, resident memory over thousands of turns of two paths: a curve that must be flat.
    """
    from replaytree.bench.supernet import SPACES, measure_steps, measure_turns

    if turns:
        curve = []
        for point in measure_turns(turns=turns, every=every):
            curve.append(point)
            say(f"{point.trainings:>6} turns  {point.resident_bytes / 2**20:.1f} MiB", flush=True)
        finish({"curve": [asdict(point) for point in curve]}, json_)
        return
    costs = []
    for space, layers, options in SPACES:
        cost = measure_steps(space, layers=layers, paths=paths, options=options)
        costs.append(cost)
        say(
            f"{space:<10}  {layers:>2} layers  a path's step {cost.path_ms:.1f} ms  supernet {cost.again:.2f} of it, "
            f"{cost.new:.2f} on a new path (medians of {paths} paths)",
            flush=True,
        )
    finish({"steps": [asdict(cost) for cost in costs]}, json_)
