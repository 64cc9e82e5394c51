"""`replaytree bench ...`: parse, measure, print."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from replaytree.cli.bench_gpu import gpu
from replaytree.cli.declared import configured
from replaytree.cli.help import Commands
from replaytree.cli.options import DataDir, decimal, readable, whole, writable
from replaytree.cli.text import say
from replaytree.config.space import LayerOptions, SpaceOptions

bench = Commands(help="Measure replaytree on this machine.")

Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to this file.", callback=writable)
]

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
    from replaytree.config import STRATEGY_NAMES

    costs = [measure_loop(name, depth=depth, nodes=nodes, episodes=episodes) for name in STRATEGY_NAMES]
    for cost in costs:
        say(
            f"{cost.strategy:<10}  median {cost.median_ms:.1f} ms an episode, 95th percentile {cost.p95_ms:.1f} "
            f"({cost.episodes} episodes of depth {cost.depth} on a tree of {cost.nodes} nodes in a SQLite file)"
        )
    _finish({"costs": [asdict(cost) for cost in costs]}, json_)


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
    _finish({"costs": [asdict(cost) | {"ratio": cost.ratio} for cost in costs]}, json_)


@bench.command()
def strategies(
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet file: arch, accuracy columns, perhaps params and flops.", callback=readable
        ),
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="A strategy; may be repeated.  [default: all, and optuna-tpe, optuna-gp if installed]"),
    ] = None,
    seeds: Annotated[int, whole("Searches a strategy.", least=2)] = 30,
    trainings: Annotated[int, whole("Trainings a search.")] = 200,
    accuracy: Annotated[
        list[str] | None,
        typer.Option(help="Accuracy column; may be repeated.  [default: those that begin with 'accuracy']"),
    ] = None,
    percent: Annotated[bool, typer.Option("--percent", help="The table's accuracies are in percent.")] = False,
    complete: Annotated[
        str | None,
        typer.Option(help="The layer that stands for 'no more layers' if all architectures have full length."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="A field of the configuration, NAME=VALUE, for ablations; may be repeated.")
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(help="Learn first from a search on this column, as if it were other images; may be repeated."),
    ] = None,
    warm_start_trainings: Annotated[int, whole("Trainings of that search.")] = 100,
    processes: Annotated[int, whole("Searches at a time.")] = 2,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML figure to this file.", callback=writable)
    ] = None,
    json_: Json = None,
) -> None:
    """Regret of every strategy by the number of trainings, on a table of known accuracies."""
    from replaytree.bench import strategies as measured

    names = strategy or measured.known_strategies()
    measured.require_strategies(names)
    file = measured.TableFile(str(table), tuple(accuracy) if accuracy else None, percent, complete)
    measured.check_table(file)
    options = measured.parse_options(option or [])
    warm = measured.WarmStart(tuple(warm_start), warm_start_trainings) if warm_start else None
    measured.require_warm(warm, names, file)
    jobs = [measured.Job(file, name, seed, trainings, options, warm) for name in names for seed in range(seeds)]
    results = []
    for result in measured.run_jobs(jobs, processes=processes):
        results.append(result)
        if result.job.seed == seeds - 1:
            own = [r for r in results if r.job.strategy == result.job.strategy]
            say(measured.described(measured.summarize(own)), flush=True)
    summaries = measured.summarize(results)
    if figure is not None:
        measured.drawn(summaries, title=table.name).write_html(figure)
    _finish({"summaries": [asdict(summary) for summary in summaries], "options": dict(options)}, json_)


@bench.command()
def spaces(
    space: Annotated[list[str] | None, typer.Option(help="A named space; may be repeated.  [default: all]")] = None,
    first: Annotated[str, typer.Option(help="The strategy that is compared.")] = "guided",
    second: Annotated[str, typer.Option(help="The strategy that it is compared with.")] = "random",
    seeds: Annotated[int, whole("Searches a space and strategy.", least=2)] = 5,
    trainings: Annotated[int, whole("Trainings a search.")] = 50,
    repeats: Annotated[int, whole("Trainings anew of what a search found.")] = 3,
    option: Annotated[
        list[str] | None,
        typer.Option(help="A field of the configuration, NAME=VALUE, as dataset=mnist; may be repeated."),
    ] = None,
    processes: Annotated[int, whole("Searches at a time, one thread each.")] = 2,
    json_: Json = None,
) -> None:
    """Whether one strategy finds better networks than another, in every named space, on images."""
    from replaytree.bench import spaces as measured
    from replaytree.bench.strategies import parse_options, require_strategies
    from replaytree.space.catalogue import about, names

    require_strategies([first, second])
    chosen = [about(name).name for name in space or names()]
    options = parse_options(option or [])
    found = []
    for name in chosen:
        jobs = [
            measured.Job(name, strategy, seed, trainings, repeats, options)
            for seed in range(seeds)
            for strategy in (first, second)
        ]
        own = list(measured.run_jobs(jobs, processes=processes))
        found += own
        [row] = measured.differences(own, first, second)
        seconds = sum(each.seconds for each in own) / (trainings * len(own))
        say(
            f"{name:<11} {first} {row.first_mean:.4f}  {second} {row.second_mean:.4f}  "
            f"difference {row.points:+.2f} points [{row.low:+.2f}, {row.high:+.2f}]  "
            f"({row.n} seeds, {seconds:.2f} s a training)",
            flush=True,
        )
    rows = [asdict(row) for row in measured.differences(found, first, second)]
    _finish({"differences": rows, "found": [asdict(each) for each in found], "options": dict(options)}, json_)


@bench.command("digits-table")
def digits_table(
    out: Annotated[Path, typer.Argument(help="The CSV file to write; .gz compresses it.", callback=writable)],
    seeds: Annotated[int, whole("Trainings of every prefix.")] = 3,
    processes: Annotated[int, whole("Trainings at a time, one thread each.")] = 2,
) -> None:
    """Train every chain of a small space on the digits: a table to try strategies on. About 20 core minutes a seed."""
    from replaytree.bench.digits_table import make_table

    say(f"{make_table(out, seeds=seeds, processes=processes)} prefixes, {seeds} trainings each, in {out}")


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
    _finish({"costs": [asdict(cost) for cost in costs]}, json_)


@bench.command()
def threads(
    trainings: Annotated[int, typer.Option(min=1, help="Trainings of every search.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Searches with every number of threads.")] = 5,
    beside: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Busy processes beside the search; repeat for several.  [default: 0, 2]"),
    ] = None,
    most: Annotated[
        int | None, typer.Option(min=1, help="Largest fixed number of threads.  [default: all processors]")
    ] = None,
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
    _finish({"times": [asdict(times) | {"ratio": times.ratio} for times in found]}, json_)


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
    _finish({"costs": [asdict(cost) for cost in costs], "optuna": beside and asdict(beside)}, json_)


@bench.command()
def evaluator(
    dataset: Annotated[str, typer.Option(help="A data set by name, or a folder of images.")] = "digits",
    data_dir: DataDir = None,
    image_size: Annotated[int | None, whole("Resize images to this many pixels square.")] = None,
    train_limit: Annotated[int, whole("Training images.", least=18)] = 512,
    width: Annotated[float, decimal("Factor on all channel numbers.", low=1e-6, high=64.0)] = 0.25,
    depth: Annotated[int, whole("Layers of every path.")] = 10,
    paths: Annotated[int, whole("Paths of the trie, continued from one another.")] = 8,
    epochs: Annotated[int | None, whole("Epochs of every training.  [default: 1, with --truth 6]")] = None,
    joint_epochs: Annotated[int | None, whole("Epochs of joint and trie, to compare at equal faithfulness.")] = None,
    rounds: Annotated[int, whole("Sets of paths, one after the other.")] = 1,
    repeats: Annotated[int, whole("Times that each set is trained; the fastest counts.")] = 1,
    seed: Annotated[int, whole("Seed of the paths.", least=0)] = 0,
    method: Annotated[
        list[str] | None,
        typer.Option(help="plain, separate, joint, trie; may be repeated; ratios are to the first.  [default: all]"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead, measure how well joint scores agree with this truth table. Default: six epochs.",
            callback=readable,
        ),
    ] = None,
    length: Annotated[
        list[int] | None, whole("With --truth: layers of the chains; repeat.  [default: 5, 10 and all]")
    ] = None,
    seeds: Annotated[int, whole("With --truth: joint trainings of every chain.")] = 1,
    discount: Annotated[
        float | None,
        decimal("With --truth: how much of a head's gradient a layer passes on.", low=0.05, high=1.0),
    ] = None,
    hidden: Annotated[
        int | None,
        whole("With --truth: hidden units a channel in each head; 0: linear heads.", least=0, most=32),
    ] = None,
    json_: Json = None,
) -> None:
    """Seconds and memory to score every prefix of a path: plain loop, separate, joint, and eight paths as a trie.

    With --truth, how well scores agree with separate training at the full budget.
    """
    if truth is not None:
        from replaytree.bench.truth import EPOCHS, measure_truth

        found = measure_truth(
            truth, lengths=length, epochs=joint_epochs or epochs or EPOCHS, seeds=seeds,
            discount=discount, hidden=hidden, data_dir=data_dir,
        )  # fmt: skip
        for way in found:
            say(
                f"{way.length:>2} layers, {way.chains} chains  {way.method:<8} tau {way.tau:.3f} "
                f"[{way.low:.3f}, {way.high:.3f}], within a depth {way.within:.3f}, cost {way.cost:.3f} of separate"
            )
        _finish({"truth": [asdict(way) for way in found]}, json_)
        return
    from replaytree.bench.evaluator import METHODS, measure_evaluator

    costs = measure_evaluator(
        dataset, data_dir=data_dir, image_size=image_size, train_limit=train_limit, width=width, depth=depth,
        paths=paths, epochs=epochs or 1, joint_epochs=joint_epochs, rounds=rounds, repeats=repeats, seed=seed,
        device=device, methods=method or METHODS,
    )  # fmt: skip
    say(
        f"{costs.dataset} {costs.image_size}x{costs.image_size}, {costs.train_images} images, width {costs.width:g}, "
        f"{costs.paths} paths of {costs.depth} layers, {costs.epochs} epochs"
        f"{f' ({costs.joint_epochs} joint)' if costs.joint_epochs != costs.epochs else ''}, {costs.rounds} rounds, "
        f"least of {costs.repeats}, {costs.device}"
    )
    for cost in costs.methods:
        share = "" if cost.peak_share is None else f", {cost.peak_share:.1%} of the matrix peak"
        say(
            f"{cost.method:<9} {cost.seconds:8.3f} s a path ({cost.processor_seconds:.3f} of the processor), "
            f"{cost.images_per_second:8.0f} images/s, {cost.ratio:.4f} of {costs.methods[0].method} "
            f"(FLOPs: {cost.flops_ratio:.4f}), peak {cost.peak_bytes / 2**20:.0f} MiB{share}"
        )
    if costs.trie_measured is not None:
        say(f"trie / joint: {costs.trie_predicted:.3f} by FLOPs, {costs.trie_measured:.3f} measured")
    for kind, milliseconds in costs.step_ms.items():
        say(f"{kind}: {milliseconds:.2f} ms")
    _finish(asdict(costs), json_)


@bench.command("truth-table")
@configured(LayerOptions)
def truth_table(
    out: Annotated[
        Path, typer.Argument(help="The CSV file; what it has is kept, what it lacks is added.", callback=writable)
    ],
    space: Annotated[str, typer.Option(help="The layers to choose from.", metavar="NAME")] = str(SpaceOptions.space),
    layers: LayerOptions = LayerOptions(),  # noqa: B008
    dataset: Annotated[str, typer.Option(help="digits or cifar10.")] = "digits",
    chains: Annotated[int, whole("Random chains.")] = 24,
    depth: Annotated[int, whole("Layers of a chain.")] = 15,
    data_dir: DataDir = None,
) -> None:
    """Train every prefix of random chains by itself: the truth for `bench evaluator --truth`. Hours on a CPU.

    One training of 6 epochs for each, and two of 30 for up to eight of them. A chain of 15 layers of xu24 takes 75
    processor seconds on digits, 170 on cifar10.
    """
    from replaytree.bench.truth import make_truth_table

    rows = make_truth_table(
        dataset, out, chains=chains, space=space, depth=depth, options=layers.given(), data_dir=data_dir
    )
    say(f"{rows} prefixes in {out}")


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
    _finish({"curve": [asdict(point) for point in curve]}, json_)


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
    from replaytree.config import STRATEGY_NAMES
    from replaytree.errors import ConfigError

    points = []
    for name in strategy or ["guided", "replay"]:
        if name not in STRATEGY_NAMES:
            raise ConfigError(f"strategy is {name!r}; it must be one of {', '.join(STRATEGY_NAMES)} (--strategy)")
        for point in measure_memory(name, episodes=episodes, every=every):
            points.append(point)
            say(
                f"{name:<10}  {point.episodes:>6} episodes  {point.nodes:>4} nodes  {point.megabytes:.1f} MB",
                flush=True,
            )
    _finish({"points": [asdict(point) for point in points]}, json_)


def _finish(figures: dict[str, Any], path: Path | None) -> None:
    from replaytree.bench.machine import machine

    here = machine()
    say(", ".join(f"{key} {value}" for key, value in here.items()))
    if path is not None:
        path.write_text(json.dumps({"machine": here, **figures}, indent=2) + "\n")
