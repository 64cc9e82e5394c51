"""`replaytree bench workers` and `first-answer`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import decimal, whole
from replaytree.cli.text import say

Beside = Annotated[
    list[int] | None,
    whole("Busy processes beside the searches; repeat for several.  [default: 0, 2]", "--beside", least=0),
]


def workers(
    workers: Annotated[
        list[int] | None, whole("Numbers of workers; repeat for several.  [default: 1, 2]", "--workers")
    ] = None,
    beside: Beside = None,
    trainings: Annotated[int, whole("Trainings of every search.")] = 24,
    rounds: Annotated[int, whole("Searches with every number of workers.")] = 3,
    strategy: Annotated[
        str, typer.Option(help="Of one that learns, only searches with equally many workers train the same paths.")
    ] = "random",
    json_: Json = None,
) -> None:
    """Trainings a minute on digits with one and with several workers, and whether their trees are equal."""
    from replaytree.bench.workers import measure_workers

    counts = sorted(set(workers or [1, 2]))
    found = []
    for rates in measure_workers(
        workers=counts,
        beside=[0, 2] if beside is None else beside,
        trainings=trainings,
        rounds=rounds,
        strategy=strategy,
    ):
        found.append(rates)
        one = next(other for other in found if other.beside == rates.beside)
        gain = "" if one is rates else f"; {rates.rate / one.rate:.2f} times those of {one.workers}"
        say(rates.text + gain, flush=True)
    finish({"rates": [asdict(rates) for rates in found]}, json_)


def first_answer(
    seeds: Annotated[int, whole("Seeds 0, 1, ... of the searches.")] = 5,
    beside: Beside = None,
    accuracy: Annotated[float, decimal("The accuracy that is waited for.", low=0.0, high=1.0)] = 0.97,
    json_: Json = None,
) -> None:
    """Seconds from the command `replaytree run` to its first good network, in a fresh process for every seed."""
    from replaytree.bench.first_answer import measure_first_answers

    found = []
    for answer in measure_first_answers(
        seeds=range(seeds), beside=[0, 2] if beside is None else beside, accuracy=accuracy
    ):
        found.append(answer)
        say(answer.text, flush=True)
    finish({"answers": [asdict(answer) for answer in found]}, json_)
