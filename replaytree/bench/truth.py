"""How faithful scores are: Kendall's tau with separate training at the full budget, mean of two seeds.

The full budget is that of `replaytree retrain`, 30 epochs: the accuracy that users get in the end. A truth table holds
random chains. Some prefixes of each were trained with the full budget, and every prefix was trained by itself with the
budget of a search. Making a table takes hours, so it is kept; scoring its chains with one joint training each takes
minutes. Costs are processor seconds. Those of separate trainings were taken when the table was made, so they compare
only on the same machine and with the same versions.
"""

from __future__ import annotations

import csv
import gzip
import statistics
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from replaytree.config import Budget, SearchConfig, command
from replaytree.errors import ConfigError, DataError
from replaytree.evaluate import JointEvaluator, SeparateEvaluator
from replaytree.policy.random_search import random_path
from replaytree.records import Path, Space
from replaytree.search.assembly import data_of, default_space
from replaytree.space import LayerSpace
from replaytree.space.coding import labels
from replaytree.training import Recipe

DEPTH = 15
TRUE_EPOCHS = 30
TRUE_DEPTHS = (1, 2, 3, 5, 8, 10, 12, 15)
EPOCHS = 6
BOOTSTRAPS = 500
COLUMNS = (
    *("dataset", "chain", "depth", "arch"),
    *("accuracy_0", "seconds_0", "accuracy_1", "seconds_1", "separate_accuracy", "separate_seconds"),
)
# Small enough for a CPU: few small pictures, and validation parts of about 900 images.
SETTINGS: dict[str, dict[str, int | float]] = {
    "digits": {"val_fraction": 0.5, "batch_size": 32},
    "cifar10": {"image_size": 16, "train_limit": 2000, "val_fraction": 0.02},
}


Scored = tuple[list[list[float]], list[float]]
"""Of every chain its joint scores, shallow to deep, and the processor seconds that they took."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain of a truth table.

    `truth` is the mean of two trainings of 30 epochs, of the prefixes of TRUE_DEPTHS; `separate` one of 6 epochs, of
    every prefix.
    """

    number: int
    truth: tuple[float, ...]
    separate: tuple[float, ...]
    separate_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """One way to score chains of one length.

    `tau` is over all prefixes whose truth is known, the mean over the seeds of the joint trainings, between `low` and
    `high` in 95 % of 500 bootstraps of the chains;
    `within` is the mean of the taus within each depth; `cost` the processor seconds a chain as a share of the separate
    evaluator's.
    """

    method: str
    length: int
    chains: int
    tau: float
    low: float
    high: float
    within: float
    cost: float


def chain_path(space: Space, number: int) -> Path:
    """The chain of a number: random, and the same on every machine."""
    return random_path(space, DEPTH, torch.Generator().manual_seed(number)).path


def make_truth_table(dataset: str, out: FilePath, *, chains: int, data_dir: str | None = None) -> int:
    """Train what the file lacks and add it, a row a prefix; the rows that it has then. One thread."""
    space, _, separate = _evaluators(dataset, data_dir)
    done = set()
    if out.exists():
        rows = _rows(out)
        _require_truth(rows, out)
        done = {(row["dataset"], int(row["chain"]), int(row["depth"])) for row in rows}
    with out.open("a", newline="", buffering=1) as file:
        writer = csv.writer(file, lineterminator="\n")
        if not done:
            writer.writerow(COLUMNS)
        for number in range(chains):
            path = chain_path(space, number)
            for depth in range(1, DEPTH + 1):
                if (dataset, number, depth) in done:
                    continue
                row: list[object] = [dataset, number, depth, " ".join(labels(space, path[:depth]))]
                for seed, epochs in enumerate((TRUE_EPOCHS, TRUE_EPOCHS, EPOCHS)):
                    wanted = epochs == EPOCHS or depth in TRUE_DEPTHS
                    own_seed = 1000 * number + 10 * depth + seed
                    row += _alone(separate, path[:depth], epochs=epochs, seed=own_seed) if wanted else ("", "")
                writer.writerow(row)
                done.add((dataset, number, depth))
    return len(done)


def _require_truth(rows: Sequence[dict[str, str]], file: FilePath | str) -> None:
    for row in rows:
        if int(row["depth"]) in TRUE_DEPTHS and not (row["accuracy_0"] and row["accuracy_1"]):
            raise DataError(
                f"{file} lacks the full trainings of chain {row['chain']} at depth {row['depth']}: it was made for "
                f"other depths; make a new one: `{command('bench', 'truth-table', 'FILE')}`"
            )


def _alone(separate: SeparateEvaluator, path: Path, *, epochs: int, seed: int) -> tuple[str, str]:
    """Accuracy (nan for a failure) and processor seconds of one training, as text."""
    started = time.process_time()
    evaluation = separate.evaluate_alone(path, budget=Budget(epochs), seed=seed)
    [accuracy] = evaluation.accuracies or [float("nan")]
    return f"{accuracy:.6f}", f"{time.process_time() - started:.2f}"


def read_truth_table(file: FilePath | str) -> tuple[str, list[Chain]]:
    """The data set of a table and its whole chains; DataError for a file that is no such table, or has none."""
    rows = _rows(FilePath(file))
    _require_truth(rows, file)
    chains = []
    for number in sorted({int(row["chain"]) for row in rows}):
        own = sorted((row for row in rows if int(row["chain"]) == number), key=lambda row: int(row["depth"]))
        if len(own) == DEPTH:
            true = [own[depth - 1] for depth in TRUE_DEPTHS]
            chains.append(
                Chain(
                    number,
                    tuple((float(row["accuracy_0"]) + float(row["accuracy_1"])) / 2.0 for row in true),
                    tuple(float(row["separate_accuracy"]) for row in own),
                    tuple(float(row["separate_seconds"]) for row in own),
                )
            )
    if not chains:
        more = command("bench", "truth-table", file)
        raise DataError(f"{file} has no chain with all of its {DEPTH} prefixes; go on with `{more}`")
    return rows[0]["dataset"], chains


def measure_truth(
    file: FilePath,
    *,
    lengths: Sequence[int],
    epochs: int,
    seeds: int = 1,
    discount: float | None = None,
    hidden: int | None = None,
    data_dir: str | None = None,
) -> list[Faithfulness]:
    """Score the chains of a table by one joint training each, `seeds` times over, and compare; see Faithfulness.

    `discount` and `hidden` are those of a search where they are None.
    """
    if not all(TRUE_DEPTHS[0] <= length <= DEPTH for length in lengths):
        raise ConfigError(
            f"lengths are {list(lengths)}; chains with a known truth have {TRUE_DEPTHS[0]} to {DEPTH} layers (--length)"
        )
    dataset, chains = read_truth_table(file)
    space, joint, _ = _evaluators(dataset, data_dir, discount=discount, hidden=hidden)
    results = []
    for length in lengths:
        scored = [_joint_scores(joint, space, chains, length, epochs=epochs, seed=seed) for seed in range(seeds)]
        results += compare(chains, scored)
    return results


def _joint_scores(
    joint: JointEvaluator, space: Space, chains: Sequence[Chain], length: int, *, epochs: int, seed: int
) -> Scored:
    scores, seconds = [], []
    for chain in chains:
        started = time.process_time()
        path = chain_path(space, chain.number)[:length]
        own_seed = 5000 + 1000 * chain.number + 100 * seed + length
        [evaluation] = joint.evaluate([path], budget=Budget(epochs), seed=own_seed)
        seconds.append(time.process_time() - started)
        # A head that a failure left without an accuracy counts as a guess.
        scores.append([*evaluation.accuracies, *[0.1] * (length - len(evaluation.accuracies))])
    return scores, seconds


def compare(chains: Sequence[Chain], scored: Sequence[Scored]) -> list[Faithfulness]:
    """Separate and joint.

    `scored`: for each seed the scores (C, T) of the chains and the seconds that each chain took.
    """
    length = len(scored[0][0][0])
    known = [depth - 1 for depth in TRUE_DEPTHS if depth <= length]
    truth_CK = np.array([chain.truth[: len(known)] for chain in chains])
    separate_1CT = np.array([[chain.separate[:length] for chain in chains]])
    cost = sum(sum(chain.separate_seconds[:length]) for chain in chains)
    joint_SCT = np.array([scores for scores, _ in scored], dtype=float)
    joint_seconds = statistics.mean(sum(seconds) for _, seconds in scored)
    ways = (("separate", separate_1CT, cost), ("joint", joint_SCT, joint_seconds))
    return [
        Faithfulness(method, length, len(chains), *_taus(scores_SCT[:, :, known], truth_CK), spent_seconds / cost)
        for method, scores_SCT, spent_seconds in ways
    ]


def _taus(scores_SCK: NDArray[np.float64], truth_CK: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(tau, low, high, mean tau within a depth), each the mean over the seeds."""

    def pooled(sample: NDArray[np.int64] | slice) -> float:
        truth = truth_CK[sample].ravel()
        return float(np.mean([tau(scores_CK[sample].ravel(), truth) for scores_CK in scores_SCK]))

    draw = np.random.default_rng(0)
    taus = [pooled(draw.integers(len(truth_CK), size=len(truth_CK))) for _ in range(BOOTSTRAPS)]
    low, high = np.nanpercentile(taus, [2.5, 97.5])
    within = np.nanmean(
        [tau(scores_CK[:, k], truth_CK[:, k]) for scores_CK in scores_SCK for k in range(truth_CK.shape[1])]
    )
    return pooled(slice(None)), float(low), float(high), float(within)


def tau(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Kendall's tau-b of two rankings; nan where one of them is all ties."""
    return float(kendalltau(one, other).statistic)


def _evaluators(
    dataset: str, data_dir: str | None, *, discount: float | None = None, hidden: int | None = None
) -> tuple[LayerSpace, JointEvaluator, SeparateEvaluator]:
    if dataset not in SETTINGS:
        raise ConfigError(f"dataset is {dataset!r}; truth tables are of {', '.join(SETTINGS)} (--dataset)")
    torch.set_num_threads(1)
    options = {"dataset": dataset, "data_dir": data_dir, "width": 0.25, "min_layers": DEPTH, "max_layers": DEPTH}
    config = SearchConfig.from_options(options | SETTINGS[dataset])
    data = data_of(config)
    space = default_space(config, data)
    assert isinstance(space, LayerSpace), "the default space of images has layers"
    recipe, cpu = Recipe.of(config, data), torch.device("cpu")
    if discount is not None:
        recipe = replace(recipe, discount=discount)
    if hidden is not None:
        recipe = replace(recipe, hidden=hidden)
    return (
        space,
        JointEvaluator(space, data, recipe=recipe, device=cpu),
        SeparateEvaluator(space, data, recipe=recipe, device=cpu),
    )


def _rows(file: FilePath) -> list[dict[str, str]]:
    if not file.is_file():
        raise DataError(f"there is no truth table {file}; make one with `{command('bench', 'truth-table', file)}`")
    try:
        with gzip.open(file, "rt", newline="") if file.suffix == ".gz" else file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, EOFError, UnicodeError, zlib.error, csv.Error) as error:
        raise DataError(f"{file} cannot be read as a truth table: {error}") from error
    if not rows or set(COLUMNS) - set(rows[0]):
        raise DataError(f"{file} is no truth table: it needs the columns {', '.join(COLUMNS)}")
    for number, row in enumerate(rows, start=1):
        _require_numbers(row, f"row {number} of {file}")
    return rows


def _require_numbers(row: dict[str, str], where: str) -> None:
    for column in COLUMNS:
        text = row[column]
        try:
            if column in ("chain", "depth"):
                int(text)
            elif column not in ("dataset", "arch") and text:
                float(text)
        except (TypeError, ValueError):
            raise DataError(f"{where} has {column} {text!r}; it must be a number") from None
