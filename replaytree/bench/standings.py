"""What the regrets of many searches say: means, differences to the best peer, and ratios over all tables.

Searches with the same seed share first paths and noise (paired.py), so differences are taken seed by seed. The best
peer is chosen for each table and checkpoint, by its mean regret over the same seeds: that favours the peers.

Shapes: S seeds, B bootstrap samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from replaytree.errors import DataError

BOOTSTRAPS = 10_000
# Added to both regrets of a ratio, in percentage points, because a regret may be 0.
LEAST_REGRET = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search: regrets in percentage points after so many trainings, and milliseconds a training."""

    table: str
    strategy: str
    seed: int
    regrets: dict[int, float]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean regret over the seeds at one checkpoint, in percentage points, with a 95 % bootstrap interval."""

    table: str
    strategy: str
    trainings: int
    mean: float
    low: float
    high: float
    seeds: int
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Difference:
    """The regret of a strategy less that of the best peer, in points, by seed, with a 95 % bootstrap interval."""

    table: str
    strategy: str
    peer: str
    trainings: int
    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """Regret of a strategy over that of the best peer, geometric mean over tables, with a 95 % bootstrap interval."""

    strategy: str
    trainings: int
    mean: float
    low: float
    high: float
    tables: int


def summarize(outcomes: Sequence[Outcome], *, seed: int = 0) -> list[Summary]:
    """One row a table, strategy and checkpoint."""
    generator = np.random.default_rng(seed)
    summaries = []
    for table, strategy in dict.fromkeys((each.table, each.strategy) for each in outcomes):
        own = [each for each in outcomes if (each.table, each.strategy) == (table, strategy)]
        cost = float(np.mean([each.milliseconds for each in own]))
        for trainings in own[0].regrets:
            values_S = np.array([each.regrets[trainings] for each in own])
            mean, low, high = _with_interval(values_S, generator)
            summaries.append(Summary(table, strategy, trainings, mean, low, high, len(own), cost))
    return summaries


def differences(outcomes: Sequence[Outcome], peers: Sequence[str], *, seed: int = 0) -> list[Difference]:
    """One row a table, strategy and checkpoint, for tables that some peer was measured on."""
    generator = np.random.default_rng(seed)
    rows = []
    for pair in _pairs(outcomes, peers):
        mean, low, high = _with_interval(pair.own_S - pair.peer_S, generator)
        rows.append(Difference(pair.table, pair.strategy, pair.peer, pair.trainings, mean, low, high, len(pair.own_S)))
    return rows


def ratios(outcomes: Sequence[Outcome], peers: Sequence[str], *, seed: int = 0) -> list[Ratio]:
    """One row a strategy and checkpoint; the seeds of every table are drawn anew for the interval."""
    generator = np.random.default_rng(seed)
    pairs = list(_pairs(outcomes, peers))
    rows = []
    for strategy, trainings in dict.fromkeys((pair.strategy, pair.trainings) for pair in pairs):
        own = [pair for pair in pairs if (pair.strategy, pair.trainings) == (strategy, trainings)]
        logs, logs_B = 0.0, np.zeros(BOOTSTRAPS)
        for pair in own:
            S = len(pair.own_S)
            chosen_BS = generator.integers(S, size=(BOOTSTRAPS, S))
            logs += float(_log_ratio(pair.own_S.mean(), pair.peer_S.mean())) / len(own)
            logs_B += _log_ratio(pair.own_S[chosen_BS].mean(axis=1), pair.peer_S[chosen_BS].mean(axis=1)) / len(own)
        low, high = np.exp(np.percentile(logs_B, [2.5, 97.5]))
        rows.append(Ratio(strategy, trainings, float(np.exp(logs)), float(low), float(high), len(own)))
    return rows


def described(summaries: Sequence[Summary]) -> str:
    """A line: strategy, mean regret [interval] at each checkpoint, seeds, milliseconds a training."""
    cells = "  ".join(f"{s.trainings}: {s.mean:.3f} [{s.low:.3f}, {s.high:.3f}]" for s in summaries)
    return f"{summaries[0].strategy:<12} {cells}  ({summaries[0].seeds} seeds, {summaries[0].milliseconds:.0f} ms)"


def compared(rows: Sequence[Difference]) -> list[str]:
    """For each table a heading, and a line a strategy: the difference to the best peer at each checkpoint."""
    lines = []
    for table in dict.fromkeys(row.table for row in rows):
        lines.append(f"{table}, less the best peer")
        lines += _lines(
            (d.strategy, f"{d.trainings}: {d.mean:+.3f} [{d.low:+.3f}, {d.high:+.3f}] {d.peer}")
            for d in rows
            if d.table == table
        )
    return lines


def rated(rows: Sequence[Ratio]) -> list[str]:
    """A heading, and a line a strategy: the ratio to the best peer at each checkpoint."""
    if not rows:
        return []
    cells = ((row.strategy, f"{row.trainings}: {row.mean:.2f} [{row.low:.2f}, {row.high:.2f}]") for row in rows)
    # A strategy that was measured on fewer tables than another, with searches of an earlier call, has its own number.
    tables = {row.strategy: f"  ({row.tables} {'table' if row.tables == 1 else 'tables'})" for row in rows}
    lines = [line + own for line, own in zip(_lines(cells), tables.values(), strict=True)]
    return ["regret over that of the best peer, geometric mean of tables", *lines]


def read_outcomes(file: FilePath) -> list[Outcome]:
    """The searches in a file that `bench strategies --json` wrote; DataError where it is another file."""
    try:
        rows = json.loads(file.read_text())["outcomes"]
        return [
            Outcome(**row | {"regrets": {int(trainings): regret for trainings, regret in row["regrets"].items()}})
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} was not written by bench strategies --json ({error}); give such a file") from error


def drawn(summaries: Sequence[Summary], *, title: str) -> go.Figure:
    """Mean regret with its interval against trainings, a line a table and strategy, both axes logarithmic."""
    figure = go.Figure()
    tables = list(dict.fromkeys(summary.table for summary in summaries))
    for table, strategy in dict.fromkeys((summary.table, summary.strategy) for summary in summaries):
        own = [summary for summary in summaries if (summary.table, summary.strategy) == (table, strategy)]
        figure.add_scatter(
            x=[s.trainings for s in own],
            y=[s.mean for s in own],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [s.high - s.mean for s in own],
                "arrayminus": [s.mean - s.low for s in own],
            },
            name=strategy if len(tables) == 1 else f"{strategy}, {table}",
            mode="lines+markers",
        )
    figure.update_layout(
        title=title, xaxis={"title": "trainings", "type": "log"}, yaxis={"title": "mean regret, points", "type": "log"}
    )
    return figure


@dataclass(frozen=True, slots=True)
class _Pair:
    """Regrets of a strategy and of the best peer, of the same seeds."""

    table: str
    strategy: str
    peer: str
    trainings: int
    own_S: NDArray[np.float64]
    peer_S: NDArray[np.float64]


def _pairs(outcomes: Sequence[Outcome], peers: Sequence[str]) -> Iterator[_Pair]:
    """Every strategy that is no peer with the peer of the least mean regret over the seeds that both have."""
    found: dict[tuple[str, str], dict[int, Outcome]] = {}
    for each in outcomes:
        found.setdefault((each.table, each.strategy), {})[each.seed] = each
    for (table, strategy), own in found.items():
        if strategy in peers:
            continue
        for trainings in next(iter(own.values())).regrets:
            rivals = [
                _Pair(table, strategy, peer, trainings, *shared)
                for (other, peer), theirs in found.items()
                if other == table and peer in peers and (shared := _shared(own, theirs, trainings)) is not None
            ]
            if rivals:
                yield min(rivals, key=lambda pair: float(pair.peer_S.mean()))


def _shared(
    own: dict[int, Outcome], theirs: dict[int, Outcome], trainings: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The regrets of the seeds that both have; None where they share none."""
    shared = [
        (each.regrets[trainings], theirs[seed].regrets[trainings])
        for seed, each in own.items()
        if seed in theirs and trainings in each.regrets and trainings in theirs[seed].regrets
    ]
    return (np.array([first for first, _ in shared]), np.array([second for _, second in shared])) if shared else None


def _lines(cells: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each first part, with its second parts behind it."""
    found: dict[str, list[str]] = {}
    for name, cell in cells:
        found.setdefault(name, []).append(cell)
    return [f"{name:<12} {'  '.join(own)}" for name, own in found.items()]


def _with_interval(values_S: NDArray[np.float64], generator: np.random.Generator) -> tuple[float, float, float]:
    """The mean and its 95 % bootstrap interval."""
    means_B = generator.choice(values_S, (BOOTSTRAPS, len(values_S))).mean(axis=1)
    low, high = np.percentile(means_B, [2.5, 97.5])
    return float(values_S.mean()), float(low), float(high)


def _log_ratio(own: NDArray[np.float64], peer: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log((own + LEAST_REGRET) / (peer + LEAST_REGRET))
