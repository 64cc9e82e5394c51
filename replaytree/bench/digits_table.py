"""A small space measured as a whole: every chain of five layers on digits, each trained alone with several seeds.

A strategy can be tried thousands of times on such a table, at no cost, with the noise that real trainings have.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path as FilePath

import torch

from replaytree.config import Budget
from replaytree.data import ImageData, load_data
from replaytree.evaluate import WholeEvaluator
from replaytree.records import Path, Space
from replaytree.space import Convolution, LayerSpace, Pooling, ResidualBlock
from replaytree.space.coding import labels, legal_actions
from replaytree.training.recipe import Recipe

LAYERS = 4
EPOCHS = 8
WIDTH = 0.25
BATCH_SIZE = 32
VAL_FRACTION = 0.5


def digits_space() -> LayerSpace:
    """conv32k3, conv128k4, res64s2, avg3s1, max2s2 at a quarter of their width, chains of up to four."""
    layers = (
        Convolution(32, 3, width=WIDTH),
        Convolution(128, 4, width=WIDTH),
        ResidualBlock(64, 2, width=WIDTH),
        Pooling("avg", 3, 1),
        Pooling("max", 2, 2),
    )
    return LayerSpace(layers, input_shape=(1, 8, 8), num_classes=10, max_layers=LAYERS)


def all_paths(space: Space) -> Iterator[Path]:
    """Every legal path of a space, parents before children."""
    frontier: list[Path] = [()]
    while frontier:
        prefix = frontier.pop(0)
        if prefix:
            yield prefix
        if len(prefix) < space.max_layers:
            frontier += [(*prefix, action) for action in legal_actions(space, prefix)]


def make_table(out: FilePath, *, seeds: int = 3, processes: int = 2) -> int:
    """Train every prefix with every seed and write one row each: arch, accuracies, params, FLOPs. Returns the rows.

    Half of the digits, 899, are validation images. The standard error of an accuracy is then about 0.003, a fifth of
    what another seed changes.
    """
    space = digits_space()
    paths = list(all_paths(space))
    with (
        gzip.open(out, "wt", newline="") if out.suffix == ".gz" else out.open("w", newline="") as file,
        ProcessPoolExecutor(processes) as pool,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arch", *(f"accuracy_{seed}" for seed in range(seeds)), "params", "flops"])
        jobs = [(path, seed) for path in paths for seed in range(seeds)]
        accuracies = pool.map(_train, jobs, chunksize=seeds)
        for path in paths:
            row = [f"{next(accuracies):.6f}" for _ in range(seeds)]
            writer.writerow([" ".join(labels(space, path)), *row, *space.cost(path)])
    return len(paths)


@lru_cache
def _evaluator() -> WholeEvaluator:
    torch.set_num_threads(1)
    data: ImageData = load_data("digits", val_fraction=VAL_FRACTION)
    return WholeEvaluator(
        digits_space(), data, recipe=Recipe(batch_size=BATCH_SIZE, crop_padding=1), device=torch.device("cpu")
    )


def _train(job: tuple[Path, int]) -> float:
    path, seed = job
    accuracy = _evaluator().evaluate([path], budget=Budget(EPOCHS), seed=seed)[0].highest
    assert accuracy is not None, "no training of the digits fails"
    return accuracy
