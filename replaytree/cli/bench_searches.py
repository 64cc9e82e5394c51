"""`replaytree bench strategies`, `spaces`, `digits-table`: whole searches, parsed, measured, printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from replaytree.cli.bench_figures import Json, finish
from replaytree.cli.options import decimal, whole, writable
from replaytree.cli.text import say
from replaytree.errors import ConfigError


def strategies(
    table: Annotated[
        list[str],
        typer.Argument(
            help="CSV or Parquet files: arch, accuracy columns, perhaps params and flops. How to read one may follow "
            "its name: FILE,accuracy=COLUMN,percent,complete=LAYER. Or tables made here: synthetic:rugged."
        ),
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="A strategy, or a peer such as gp-ei; may be repeated.  [default: all that can run here]"),
    ] = None,
    seeds: Annotated[int, whole("Searches a strategy.", least=2)] = 30,
    first_seed: Annotated[int, whole("The seed of the first search; the others follow it.", least=0)] = 0,
    trainings: Annotated[int, whole("Trainings a search.")] = 200,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Compare with searches of an earlier call, which --json wrote to this file; may be repeated.",
            metavar="FILE",
        ),
    ] = None,
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
    prior: Annotated[
        float | None,
        decimal("Learn first from a supernet trained for so many passes; for the digits table.", low=0.01),
    ] = None,
    processes: Annotated[int, whole("Searches at a time.")] = 2,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML figure to this file.", callback=writable)
    ] = None,
    json_: Json = None,
) -> None:
    """Regret of every strategy by the number of trainings, on a table of known accuracies."""
    from replaytree.bench import standings
    from replaytree.bench import strategies as measured
    from replaytree.bench.peers import PEERS

    names = strategy or measured.known_strategies()
    measured.require_strategies(names)
    default = measured.TableFile("", tuple(accuracy) if accuracy else None, percent, complete)
    files = [measured.parse_table(text, default=default) for text in table]
    options = measured.parse_options(option or [], names)
    warm = measured.WarmStart(tuple(warm_start), warm_start_trainings) if warm_start else None
    for file in files:
        measured.check_table(file)
        measured.require_warm(warm, names, file)
        measured.require_prior(prior, names, file)
    outcomes = [outcome for file in beside or () for outcome in standings.read_outcomes(file)]
    jobs = [
        measured.Job(file, name, seed, trainings, options, warm, prior)
        for file in measured.require_apart(files)
        for name in names
        for seed in range(first_seed, first_seed + seeds)
    ]
    last = None
    for (name, _), group in groupby(measured.run_jobs(jobs, processes=processes), key=lambda o: (o.table, o.strategy)):
        if name != last:
            say(name)
            last = name
        own = list(group)
        say(standings.described(standings.summarize(own)), flush=True)
        outcomes += own
    summaries = standings.summarize(outcomes)
    differences = standings.differences(outcomes, list(PEERS))
    ratios = standings.ratios(outcomes, list(PEERS))
    for line in [*standings.compared(differences), *standings.rated(ratios)]:
        say(line)
    if figure is not None:
        standings.drawn(summaries, title=", ".join(file.name for file in files)).write_html(figure)
    figures: dict[str, Sequence[Any]] = {
        "summaries": summaries,
        "differences": differences,
        "ratios": ratios,
        "outcomes": outcomes,
    }
    finish({name: [asdict(row) for row in rows] for name, rows in figures.items()} | {"options": dict(options)}, json_)


def spaces(
    space: Annotated[list[str] | None, typer.Option(help="A named space; may be repeated.  [default: all]")] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="A strategy, or a peer such as gp-ei; may be repeated. The first is compared with each of the others."
            "  [default: guided, random]"
        ),
    ] = None,
    seeds: Annotated[int, whole("Searches a space and strategy.", least=2)] = 5,
    first_seed: Annotated[int, whole("The seed of the first search; the others follow it.", least=0)] = 0,
    trainings: Annotated[int, whole("Trainings a search.")] = 50,
    repeats: Annotated[int, whole("Trainings anew of what a search found.")] = 3,
    option: Annotated[
        list[str] | None,
        typer.Option(help="A field of the configuration, NAME=VALUE, as dataset=mnist; may be repeated."),
    ] = None,
    processes: Annotated[int, whole("Searches at a time, one thread each.")] = 2,
    json_: Json = None,
) -> None:
    """Whether one strategy finds better networks than others, in every named space, on images."""
    from replaytree.bench import spaces as measured
    from replaytree.bench.strategies import parse_options, require_strategies
    from replaytree.space.catalogue import about, names

    first, *others = strategies = list(dict.fromkeys(strategy or ["guided", "random"]))
    require_strategies(strategies)
    if not others:
        raise ConfigError(f"{first} is compared with nothing; give a second --strategy")
    chosen = [about(name).name for name in space or names()]
    options = parse_options(option or [], strategies)
    found, rows = [], []
    for name in chosen:
        jobs = [
            measured.Job(name, each, seed, trainings, repeats, options)
            for seed in range(first_seed, first_seed + seeds)
            for each in strategies
        ]
        own = list(measured.run_jobs(jobs, processes=processes))
        found += own
        seconds = sum(each.seconds for each in own) / (trainings * len(own))
        for other in others:
            row = measured.difference(own, first, other)
            rows.append(row)
            say(
                f"{name:<11} {first} {row.first_mean:.4f}  {other} {row.second_mean:.4f}  "
                f"difference {row.points:+.2f} points [{row.low:+.2f}, {row.high:+.2f}]  "
                f"({row.n} seeds, {seconds:.2f} s a training)",
                flush=True,
            )
    figures = {"differences": [asdict(row) for row in rows], "found": [asdict(each) for each in found]}
    finish({**figures, "options": dict(options)}, json_)


def digits_table(
    out: Annotated[Path, typer.Argument(help="The CSV file to write; .gz compresses it.", callback=writable)],
    seeds: Annotated[int, whole("Trainings of every prefix.")] = 3,
    processes: Annotated[int, whole("Trainings at a time, one thread each.")] = 2,
) -> None:
    """Train every chain of a small space on the digits: a table to try strategies on. About 20 core minutes a seed."""
    from replaytree.bench.digits_table import make_table

    say(f"{make_table(out, seeds=seeds, processes=processes)} prefixes, {seeds} trainings each, in {out}")
