"""`replaytree bench differentiable`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import DataDir, whole
from replaytree.cli.text import say

if TYPE_CHECKING:
    from replaytree.bench.differentiable import Outcome
    from replaytree.bench.spaces import Difference


def differentiable(
    dataset: Annotated[
        list[str] | None, typer.Option(help="digits or cifar10; may be repeated.  [default: digits]")
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="darts; 'darts, second order'; pc-darts; or gdas; may be repeated.  [default: all]"),
    ] = None,
    seeds: Annotated[int, whole("Searches a strategy and data set, and random cells.", least=2)] = 5,
    first_seed: Annotated[int, whole("The first of the seeds.", least=0)] = 0,
    search_epochs: Annotated[int, whole("Epochs of a search.")] = 20,
    epochs: Annotated[int, whole("Epochs of a training anew.")] = 15,
    channels: Annotated[int, whole("Channels of the first cells.")] = 8,
    cells: Annotated[int, whole("Cells of a network.", least=3)] = 4,
    option: Annotated[
        list[str] | None, typer.Option(help="A field of the configuration of the searches, NAME=VALUE; repeatable.")
    ] = None,
    data_dir: DataDir = None,
    processes: Annotated[int, whole("Searches at a time, one thread each.")] = 1,
    json_: Json = None,
) -> None:
    """What differentiable searches derive in DARTS' cells, against random cells, all trained anew with one recipe."""
    from replaytree.bench import differentiable as measured
    from replaytree.bench.spaces import difference
    from replaytree.bench.strategies import parse_options
    from replaytree.config import DIFFERENTIABLE_STRATEGIES

    options = parse_options(option or [], list(DIFFERENTIABLE_STRATEGIES))
    chosen = list(measured.METHODS) if strategy is None else strategy
    jobs = [
        measured.Job(method, images, seed, search_epochs, epochs, channels, cells, data_dir, options)
        for images in dataset or ["digits"]
        for method in (measured.RANDOM, *chosen)
        for seed in range(first_seed, first_seed + seeds)
    ]
    for job in jobs[::seeds]:
        measured.require(job)
    outcomes: list[Outcome] = []
    rows = []
    for outcome in measured.run_jobs(jobs, processes=processes):
        outcomes.append(outcome)
        say(_told(outcome), flush=True)
        if outcome.job.seed < first_seed + seeds - 1 or outcome.job.method == measured.RANDOM:
            continue
        own = [each.found for each in outcomes if each.job.dataset == outcome.job.dataset]
        row = difference(own, outcome.job.method, measured.RANDOM)
        rows.append({"dataset": outcome.job.dataset, **asdict(row)})
        say(_compared(outcome.job.dataset, row), flush=True)
    finish({"differences": rows, "outcomes": [asdict(each) for each in outcomes]}, json_)


def _told(outcome: Outcome) -> str:
    found, job = outcome.found, outcome.job
    search = ""
    if outcome.entropies:
        search = (
            f"seen {found.seen:.3f}  {found.seconds:6.1f} s  skips {outcome.skip_shares[-1]:.2f}  entropy "
            f"{outcome.entropies[-1]:.3f}  "
        )
    return (
        f"{job.dataset} seed {job.seed}  {job.method:<19} anew {found.accuracy:.4f}  {found.params:>6} parameters  "
        f"{search}{found.labels}"
    )


def _compared(dataset: str, row: Difference) -> str:
    return (
        f"{dataset}: {row.first} {row.first_mean:.4f}, {row.second} {row.second_mean:.4f}, difference "
        f"{row.points:+.2f} points [{row.low:+.2f}, {row.high:+.2f}] (n = {row.n})"
    )
