"""`replaytree bench baselines`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import decimal, whole
from replaytree.cli.text import say

if TYPE_CHECKING:
    from replaytree.bench.baselines import Outcome, Trained


def baselines(
    baseline: Annotated[
        str, typer.Option(help="A hand-made network, as wide as published or as the limits of the searches allow.")
    ] = "resnet18",
    full_size: Annotated[
        bool, typer.Option("--full-size", help="As wide as published, whatever the limits of the searches.")
    ] = False,
    seeds: Annotated[int, whole("Searches.", least=2)] = 3,
    first_seed: Annotated[int, whole("The first of the seeds.", least=0)] = 0,
    minutes: Annotated[float, decimal("Minutes of a search.", low=0.01)] = 3.0,
    epochs: Annotated[int, whole("Epochs of the retraining of what was found.")] = 20,
    option: Annotated[
        list[str] | None,
        typer.Option(help="A field of the configuration of the searches, NAME=VALUE, dataset among them; repeatable."),
    ] = None,
    processes: Annotated[int, whole("Seeds at a time, one thread each.")] = 1,
    json_: Json = None,
) -> None:
    """Searches and the retraining of what they found, against a hand-made network trained for as many seconds."""
    from replaytree.bench.baselines import Job, compared, require, run_jobs
    from replaytree.bench.strategies import parse_options

    options = parse_options(option or [], [])
    jobs = [Job(baseline, seed, minutes, epochs, options, full_size) for seed in range(first_seed, first_seed + seeds)]
    require(jobs[0])
    outcomes: list[Outcome] = []
    for outcome in run_jobs(jobs, processes=processes):
        outcomes.append(outcome)
        say(f"seed {outcome.job.seed}  {outcome.trainings} trainings")
        for trained in (outcome.found, outcome.baseline):
            say(_told(trained), flush=True)
    row = compared(outcomes)
    say(
        f"found {row.first_mean:.4f}, {baseline} {row.second_mean:.4f}, difference {row.points:+.2f} points "
        f"[{row.low:+.2f}, {row.high:+.2f}] (n = {row.n})"
    )
    finish({"difference": asdict(row), "outcomes": [asdict(each) for each in outcomes]}, json_)


def _told(trained: Trained) -> str:
    return (
        f"  {trained.name:<18} test accuracy {trained.test_accuracy:.4f}  {trained.seconds:6.0f} s  "
        f"{trained.epochs:>3} epochs  {trained.params:>10,} parameters  {trained.flops:>11,} FLOPs  {trained.labels}"
    )
