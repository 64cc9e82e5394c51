"""`replaytree bench ...`: parse, measure, print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli.bench_baselines import baselines
from replaytree.cli.bench_differentiable import differentiable
from replaytree.cli.bench_evaluator import evaluator, truth_table
from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.bench_gpu import gpu
from replaytree.cli.bench_latency import latency
from replaytree.cli.bench_precision import precision
from replaytree.cli.bench_recurrent import recurrent
from replaytree.cli.bench_searches import digits_table, spaces, strategies
from replaytree.cli.bench_sharing import sharing
from replaytree.cli.bench_text import text
from replaytree.cli.bench_weights import supernet, weights
from replaytree.cli.bench_workers import first_answer, workers
from replaytree.cli.help import Commands
from replaytree.cli.options import whole
from replaytree.cli.text import say

bench = Commands(help="Measure replaytree on this machine.")

bench.command()(gpu)


@bench.command()
def loop(
    depth: Annotated[int, whole("Layers of every path.")] = 15,
    nodes: Annotated[int, whole("Nodes of the tree, at least.")] = 10_000,
    episodes: Annotated[int, whole("Episodes that are timed.")] = 200,
    space: Annotated[
        str | None, typer.Option(help="Instead, measure the parts of a turn in this space, beside those in xu24.")
    ] = None,
    json_: Json = None,
) -> None:
    """Milliseconds an episode for everything but the evaluator, for every strategy.

    With --space, processor milliseconds of sampling, learning, mutants, the value model and a whole turn of guided.
    """
    if space is not None:
        _steps(space, depth=depth, nodes=nodes, json_=json_)
        return
    from replaytree.bench.loop import measure_loop
    from replaytree.config import SCORED_STRATEGIES

    costs = [measure_loop(name, depth=depth, nodes=nodes, episodes=episodes) for name in SCORED_STRATEGIES]
    for cost in costs:
        say(
            f"{cost.strategy:<10}  median {cost.median_ms:.1f} ms an episode, 95th percentile {cost.p95_ms:.1f} "
            f"({cost.episodes} episodes of depth {cost.depth} on a tree of {cost.nodes} nodes in a SQLite file)"
        )
    finish({"costs": [asdict(cost) for cost in costs]}, json_)


def _steps(space: str, *, depth: int, nodes: int, json_: Path | None) -> None:
    import torch

    from replaytree.bench.steps import measure_steps

    torch.set_num_threads(1)
    costs = measure_steps(space, depth=depth, nodes=nodes)
    for cost in costs:
        say(
            f"{cost.part:<35}  xu24 {cost.xu24_ms:7.2f} ms  {space} {cost.space_ms:7.2f} ms  ratio {cost.ratio:.2f} "
            f"(processor time, {cost.rounds} rounds at {depth} layers)"
        )
    finish({"costs": [asdict(cost) | {"ratio": cost.ratio} for cost in costs]}, json_)


bench.command()(strategies)
bench.command()(spaces)
bench.command()(sharing)
bench.command()(latency)
bench.command()(precision)
bench.command()(baselines)
bench.command()(recurrent)
bench.command()(text)
bench.command("digits-table")(digits_table)


@bench.command()
def report(
    nodes: Annotated[list[int] | None, whole("Nodes of the tree; repeat for several.")] = None,
    depth: Annotated[int, whole("Layers of every path.")] = 15,
    json_: Json = None,
) -> None:
    """Seconds to write a report and to open it in Chromium, on synthetic trees of 1,000 and 50,000 nodes."""
    from replaytree.bench.report import measure_report

    costs = []
    for count in nodes or [1_000, 50_000]:
        cost = measure_report(count, depth=depth)
        costs.append(cost)
        browser = (
            "not looked at: playwright or chromium is missing"
            if cost.first_picture_seconds is None or cost.click_seconds is None
            else f"first picture {cost.first_picture_seconds:.2f} s, click {cost.click_seconds:.2f} s"
        )
        say(
            f"{cost.nodes:>6} nodes, {cost.trainings} trainings  written in {cost.write_seconds:.2f} s "
            f"({cost.queries} queries), {cost.megabytes:.2f} MB, {browser}",
            flush=True,
        )
    finish({"costs": [asdict(cost) for cost in costs]}, json_)


@bench.command()
def threads(
    trainings: Annotated[int, whole("Trainings of every search.")] = 5,
    rounds: Annotated[int, whole("Searches with every number of threads.")] = 5,
    beside: Annotated[
        list[int] | None,
        whole("Busy processes beside the search; repeat for several.  [default: 0, 2]", least=0),
    ] = None,
    most: Annotated[int | None, whole("Largest fixed number of threads.  [default: all processors]")] = None,
    dataset: Annotated[str, typer.Option(help="A data set by name, or a folder of images.")] = "digits",
    json_: Json = None,
) -> None:
    """Seconds of `run` with the threads it chooses and with every fixed number, alone and beside busy processes."""
    from replaytree.bench.threads import measure_threads

    found = []
    for times in measure_threads(
        trainings=trainings, rounds=rounds, beside=[0, 2] if beside is None else beside, most=most, dataset=dataset
    ):
        found.append(times)
        say(times.text, flush=True)
    finish({"times": [asdict(times) | {"ratio": times.ratio} for times in found]}, json_)


@bench.command()
def storage(
    nodes: Annotated[
        list[int] | None,
        whole("Nodes of the tree; repeat for several, rising.  [default: 10000, 100000, 1000000]"),
    ] = None,
    depth: Annotated[int, whole("Layers of every path.")] = 15,
    optuna: Annotated[int, whole("Trials to record in Optuna's storage; 0: none.", least=0)] = 200,
    json_: Json = None,
) -> None:
    """Cost of the tree in SQLite: recording, drawing, ranking and size; with Optuna's storage for comparison."""
    import torch

    from replaytree.bench.storage import measure_optuna, measure_tree

    torch.set_num_threads(1)
    beside = measure_optuna(optuna, parameters=depth) if optuna else None
    if beside is not None:
        say(beside.text, flush=True)
    costs = []
    for cost in measure_tree(nodes or [10_000, 100_000, 1_000_000], depth=depth):
        costs.append(cost)
        say(cost.text, flush=True)
    finish({"costs": [asdict(cost) for cost in costs], "optuna": beside and asdict(beside)}, json_)


bench.command()(workers)
bench.command("first-answer")(first_answer)
bench.command()(evaluator)
bench.command()(differentiable)
bench.command("truth-table")(truth_table)
bench.command()(weights)
bench.command()(supernet)


@bench.command()
def trainings(
    count: Annotated[int, whole("Trainings in all.", "--trainings")] = 1000,
    every: Annotated[int, whole("Trainings between two looks.")] = 100,
    json_: Json = None,
) -> None:
    """Resident memory over a thousand trainings in one process: a curve that must be flat."""
    from replaytree.bench.trainings import measure_trainings

    curve = []
    for point in measure_trainings(trainings=count, every=every):
        curve.append(point)
        say(f"{point.trainings:>6} trainings  {point.resident_bytes / 2**20:.1f} MiB", flush=True)
    finish({"curve": [asdict(point) for point in curve]}, json_)


@bench.command()
def memory(
    strategy: Annotated[
        list[str] | None, typer.Option(help="Which; may be repeated.  [default: guided and replay]")
    ] = None,
    episodes: Annotated[int, whole("Episodes of the search.")] = 5_000,
    every: Annotated[int, whole("Episodes between two looks.")] = 500,
    json_: Json = None,
) -> None:
    """Memory of a search over thousands of episodes on a table whose tree is complete after some hundreds."""
    from replaytree.bench.memory import measure_memory
    from replaytree.config import SCORED_STRATEGIES
    from replaytree.errors import ConfigError

    points = []
    for name in strategy or ["guided", "replay"]:
        if name not in SCORED_STRATEGIES:
            raise ConfigError(f"strategy is {name!r}; it must be one of {', '.join(SCORED_STRATEGIES)} (--strategy)")
        for point in measure_memory(name, episodes=episodes, every=every):
            points.append(point)
            say(
                f"{name:<10}  {point.episodes:>6} episodes  {point.nodes:>4} nodes  {point.megabytes:.1f} MB",
                flush=True,
            )
    finish({"points": [asdict(point) for point in points]}, json_)
