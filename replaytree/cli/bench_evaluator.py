"""`replaytree bench evaluator`, `truth-table`: what scoring prefixes costs, and how faithful it is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.declared import configured
from replaytree.cli.options import DataDir, decimal, readable, whole, writable
from replaytree.cli.text import say
from replaytree.config.space import LayerOptions, SpaceOptions


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
        finish({"truth": [asdict(way) for way in found]}, json_)
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
    finish(asdict(costs), json_)


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
