"""How faithful scores are: Kendall's tau with separate training at the full budget, mean of two seeds.

The full budget is that of `replaytree retrain`, 30 epochs: the accuracy that users get in the end. A truth table holds
random chains of one space. Some prefixes of each were trained with the full budget, and every prefix was trained by
itself with the budget of a search. Making a table takes hours, so it is kept; scoring its chains with one joint
training each takes minutes. Costs are processor seconds. Those of separate trainings were taken when the table was
made, so they compare only on the same machine and with the same versions.
"""

from __future__ import annotations

import csv
import gzip
import json
import statistics
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from replaytree.config import Budget, SearchConfig, command
from replaytree.data import ImageData
from replaytree.errors import ConfigError, DataError
from replaytree.evaluate import JointEvaluator, WholeEvaluator
from replaytree.policy.random_search import random_path
from replaytree.records import Path
from replaytree.search.assembly import images_of
from replaytree.search.searched_space import default_space, with_layer_options
from replaytree.space.catalogue import space_of
from replaytree.space.coding import labels
from replaytree.space.graph_space import GraphSpace, require_graphs, require_networks
from replaytree.training import Recipe

DEPTH = 15
TRUE_EPOCHS = 30
EPOCHS = 6
BOOTSTRAPS = 500
COLUMNS = (
    *("dataset", "space", "chain", "depth", "arch"),
    *("accuracy_0", "seconds_0", "accuracy_1", "seconds_1", "separate_accuracy", "separate_seconds"),
)
# Paths to draw until one is as deep as the space, where layers can end a path early.
_DRAWS = 1000
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

    `truth` is by depth the mean of the two `trainings` of 30 epochs, for the prefixes of `true_depths`; `separate` one
    of 6 epochs, of every prefix.
    """

    number: int
    truth: Mapping[int, float]
    separate: tuple[float, ...]
    separate_seconds: tuple[float, ...]
    trainings: Mapping[int, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth table: the description of its space, which is as deep as its chains, and its whole chains."""

    dataset: str
    space: Mapping[str, Any]
    chains: Sequence[Chain]

    @property
    def depth(self) -> int:
        """Layers of a chain."""
        depth: int = self.space["max_layers"]
        return depth


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


def true_depths(depth: int) -> tuple[int, ...]:
    """The depths, in chains of `depth` layers, whose prefixes are trained with the full budget."""
    return (*(each for each in (1, 2, 3, 5, 8, 10, 12) if each < depth), depth)


def chain_path(space: GraphSpace, number: int) -> Path:
    """The chain of a number, as deep as the space: random, and the same on every machine."""
    generator = torch.Generator().manual_seed(number)
    for _ in range(_DRAWS):
        path = random_path(space, space.max_layers, generator).path
        if len(path) == space.max_layers:
            return path
    raise ConfigError(f"of {_DRAWS} random paths none has {space.max_layers} layers; make the chains shorter (--depth)")


def make_truth_table(
    dataset: str,
    out: FilePath,
    *,
    chains: int,
    space: str = "xu24",
    depth: int = DEPTH,
    options: Mapping[str, Any] | None = None,
    data_dir: str | None = None,
) -> int:
    """Train what the file lacks and add it, a row a prefix; the rows that it has then. One thread.

    `space` is a named space, and `options` are its own. ConfigError for a file of another space or data set.
    """
    config = _config(dataset, data_dir, {"space": space, "min_layers": 1, "max_layers": depth, **(options or {})})
    config = with_layer_options(config, device="cpu")
    data = images_of(config)
    known = require_graphs(default_space(config, data))
    described = json.dumps(default_space(config, data).describe(), sort_keys=True)
    separate = WholeEvaluator(known, data, recipe=Recipe.of(config, data), device=torch.device("cpu"))
    done = set()
    if out.exists():
        rows = _rows(out)
        _require_one_space(rows, out, dataset, json.loads(described))
        _require_truth(rows, out)
        done = {(int(row["chain"]), int(row["depth"])) for row in rows}
    with out.open("a", newline="", buffering=1) as file:
        writer = csv.writer(file, lineterminator="\n")
        if not done:
            writer.writerow(COLUMNS)
        for number in range(chains):
            path = chain_path(known, number)
            for length in range(1, depth + 1):
                if (number, length) in done:
                    continue
                row: list[object] = [dataset, described, number, length, " ".join(labels(known, path[:length]))]
                for seed, epochs in enumerate((TRUE_EPOCHS, TRUE_EPOCHS, EPOCHS)):
                    wanted = epochs == EPOCHS or length in true_depths(depth)
                    own_seed = 1000 * number + 10 * length + seed
                    row += _alone(separate, path[:length], epochs=epochs, seed=own_seed) if wanted else ("", "")
                writer.writerow(row)
                done.add((number, length))
    return len(done)


def _require_one_space(
    rows: Sequence[dict[str, str]], file: FilePath | str, dataset: str, space: Mapping[str, Any]
) -> None:
    for row in rows:
        if row["dataset"] != dataset or json.loads(row["space"]) != space:
            raise ConfigError(
                f"{file} has chains of {row['dataset']} in {row['space']}, and {dataset} in {json.dumps(space)} is "
                f"asked for; choose another file"
            )


def _require_truth(rows: Sequence[dict[str, str]], file: FilePath | str) -> None:
    for row in rows:
        true = int(row["depth"]) in true_depths(json.loads(row["space"])["max_layers"])
        if true and not (row["accuracy_0"] and row["accuracy_1"]):
            raise DataError(
                f"{file} lacks the full trainings of chain {row['chain']} at depth {row['depth']}: it was made for "
                f"other depths; make a new one: `{command('bench', 'truth-table', 'FILE')}`"
            )


def _alone(separate: WholeEvaluator, path: Path, *, epochs: int, seed: int) -> tuple[str, str]:
    """Accuracy (nan for a failure) and processor seconds of one training, as text."""
    started = time.process_time()
    accuracy = separate.evaluate([path], budget=Budget(epochs), seed=seed)[0].highest
    accuracy = float("nan") if accuracy is None else accuracy
    return f"{accuracy:.6f}", f"{time.process_time() - started:.2f}"


def read_truth_table(file: FilePath | str) -> Truth:
    """The whole chains of a table; DataError for a file that is no such table, or has none."""
    rows = _rows(FilePath(file))
    dataset, space = rows[0]["dataset"], json.loads(rows[0]["space"])
    _require_one_space(rows, file, dataset, space)
    _require_truth(rows, file)
    depth = space["max_layers"]
    chains = []
    for number in sorted({int(row["chain"]) for row in rows}):
        own = sorted((row for row in rows if int(row["chain"]) == number), key=lambda row: int(row["depth"]))
        if len(own) == depth:
            true = {
                each: (float(own[each - 1]["accuracy_0"]), float(own[each - 1]["accuracy_1"]))
                for each in true_depths(depth)
            }
            chains.append(
                Chain(
                    number,
                    {each: statistics.fmean(both) for each, both in true.items()},
                    tuple(float(row["separate_accuracy"]) for row in own),
                    tuple(float(row["separate_seconds"]) for row in own),
                    true,
                )
            )
    if not chains:
        more = command("bench", "truth-table", file)
        raise DataError(f"{file} has no chain with all of its {depth} prefixes; go on with `{more}`")
    return Truth(dataset, space, chains)


def measure_truth(
    file: FilePath,
    *,
    lengths: Sequence[int] | None = None,
    epochs: int,
    seeds: int = 1,
    discount: float | None = None,
    hidden: int | None = None,
    data_dir: str | None = None,
) -> list[Faithfulness]:
    """Score the chains of a table by one joint training each, `seeds` times over, and compare; see Faithfulness.

    `lengths` None: 5 and 10 layers, where chains are longer, and whole chains. `discount` and `hidden` are those of a
    search where they are None.
    """
    truth = read_truth_table(file)
    lengths = lengths or [*(length for length in (5, 10) if length < truth.depth), truth.depth]
    if not all(1 <= length <= truth.depth for length in lengths):
        raise ConfigError(
            f"lengths are {list(lengths)}; chains with a known truth have 1 to {truth.depth} layers (--length)"
        )
    config = _config(truth.dataset, data_dir, {})
    data = images_of(config)
    space, joint = _joint(truth.space, config, data, discount=discount, hidden=hidden)
    results = []
    for length in lengths:
        scored = [_joint_scores(joint, space, truth.chains, length, epochs=epochs, seed=seed) for seed in range(seeds)]
        results += compare(truth.chains, scored)
    return results


def _joint_scores(
    joint: JointEvaluator, space: GraphSpace, chains: Sequence[Chain], length: int, *, epochs: int, seed: int
) -> Scored:
    scores, seconds = [], []
    for chain in chains:
        started = time.process_time()
        path = chain_path(space, chain.number)[:length]
        own_seed = 5000 + 1000 * chain.number + 100 * seed + length
        [evaluation] = joint.evaluate([path], budget=Budget(epochs), seed=own_seed)
        seconds.append(time.process_time() - started)
        # A head that a failure left without an accuracy counts as a guess.
        measured = [0.1 if accuracy is None else accuracy for accuracy in evaluation.accuracies]
        scores.append([*measured, *[0.1] * (length - len(measured))])
    return scores, seconds


def compare(chains: Sequence[Chain], scored: Sequence[Scored]) -> list[Faithfulness]:
    """Separate and joint.

    `scored`: for each seed the scores (C, T) of the chains and the seconds that each chain took.
    """
    length = len(scored[0][0][0])
    depths = [depth for depth in chains[0].truth if depth <= length]
    known = [depth - 1 for depth in depths]
    truth_CK = np.array([[chain.truth[depth] for depth in depths] for chain in chains])
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


def _config(dataset: str, data_dir: str | None, options: Mapping[str, Any]) -> SearchConfig:
    if dataset not in SETTINGS:
        raise ConfigError(f"dataset is {dataset!r}; truth tables are of {', '.join(SETTINGS)} (--dataset)")
    torch.set_num_threads(1)
    return SearchConfig.from_options({"dataset": dataset, "data_dir": data_dir, **options, **SETTINGS[dataset]})


def _joint(
    description: Mapping[str, Any], config: SearchConfig, data: ImageData, *, discount: float | None, hidden: int | None
) -> tuple[GraphSpace, JointEvaluator]:
    space = space_of(description)
    if space is None:
        raise DataError(f"the table is of {description.get('kind')!r}, which is no space with a name")
    recipe = Recipe.of(config, data)
    if discount is not None:
        recipe = replace(recipe, discount=discount)
    if hidden is not None:
        recipe = replace(recipe, hidden=hidden)
    known = require_networks(space, nested=True)
    return known, JointEvaluator(known, data, recipe=recipe, device=torch.device("cpu"))


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
            elif column == "space":
                if type(depth := json.loads(text)["max_layers"]) is not int or depth < 1:
                    raise ValueError
            elif column not in ("dataset", "arch") and text:
                float(text)
        except (TypeError, ValueError, KeyError):
            what = "the description of a space" if column == "space" else "a number"
            raise DataError(f"{where} has {column} {text!r}; it must be {what}") from None
