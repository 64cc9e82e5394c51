"""`replaytree bench sharing`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import DataDir, whole
from replaytree.cli.text import say

if TYPE_CHECKING:
    from replaytree.bench.spaces import Difference, Found


def sharing(
    space: Annotated[
        list[str] | None, typer.Option(help="enas-macro or enas-micro; may be repeated.  [default: both]")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="digits or cifar10; may be repeated.  [default: digits]")
    ] = None,
    seeds: Annotated[int, whole("Searches a space and data set.", least=2)] = 5,
    first_seed: Annotated[int, whole("The first of the seeds.", least=0)] = 0,
    turns: Annotated[int, whole("Turns of the search that shares weights, each a step of its controller.")] = 200,
    paths: Annotated[int, whole("Paths a turn, each trained with one minibatch, and scored.")] = 10,
    derived: Annotated[int, whole("Paths that the supernet scores at the end.")] = 50,
    search_epochs: Annotated[int, whole("Epochs a training of the random search without sharing.")] = 4,
    epochs: Annotated[int, whole("Epochs a training of what was found, anew.")] = 15,
    repeats: Annotated[int, whole("Trainings anew of what was found.")] = 2,
    option: Annotated[
        list[str] | None,
        typer.Option(help="A field of the configuration of the search that shares weights, NAME=VALUE."),
    ] = None,
    data_dir: DataDir = None,
    processes: Annotated[int, whole("Seeds at a time, one thread each.")] = 1,
    json_: Json = None,
) -> None:
    """ENAS from beginning to end, small, against random paths of its supernet and random search without sharing."""
    from replaytree.bench import sharing as measured
    from replaytree.bench.spaces import difference
    from replaytree.bench.strategies import parse_options

    options = parse_options(option or [], ["reinforce"])
    jobs = [
        measured.Job(
            name, images, seed, turns, paths, derived, search_epochs, epochs, repeats, data_dir, options
        )
        for images in dataset or ["digits"]
        for name in space or list(measured.SMALL)
        for seed in range(first_seed, first_seed + seeds)
    ]  # fmt: skip
    for job in jobs[::seeds]:
        measured.require(job)
    outcomes, rows = [], []
    for outcome in measured.run_jobs(jobs, processes=processes):
        outcomes.append(outcome)
        for each in outcome.found:
            say(_told(outcome.job.dataset, each), flush=True)
        if outcome.job.seed < first_seed + seeds - 1:
            continue
        own = [each for o in outcomes[-seeds:] for each in o.found]
        for first, second in measured.COMPARED:
            row = difference(own, first, second)
            rows.append({"dataset": outcome.job.dataset, **asdict(row)})
            say(_compared(outcome.job.dataset, row), flush=True)
    finish({"differences": rows, "outcomes": [asdict(each) for each in outcomes]}, json_)


def _told(dataset: str, found: Found) -> str:
    seen = f"seen {found.seen:.3f}" if found.seen else "seen   -  "
    job = found.job
    return (
        f"{job.space} {dataset} seed {job.seed}  {job.strategy:<21} anew {found.accuracy:.4f}  {seen}  "
        f"{found.params:>7} parameters  {found.seconds:6.1f} s  {found.labels}"
    )


def _compared(dataset: str, row: Difference) -> str:
    return (
        f"{row.space} {dataset}: {row.first} {row.first_mean:.4f}, {row.second} {row.second_mean:.4f}, difference "
        f"{row.points:+.2f} points [{row.low:+.2f}, {row.high:+.2f}] (n = {row.n})"
    )
