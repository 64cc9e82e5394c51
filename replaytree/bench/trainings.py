"""Whether trainings leak memory: the resident memory of a process that trains one network after another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath

import torch

from replaytree.bench.evaluator import tree_paths
from replaytree.config import Budget
from replaytree.data import load_data
from replaytree.errors import ConfigError
from replaytree.evaluate import JointEvaluator
from replaytree.space import LayerSpace, xu24
from replaytree.training import Recipe

PATHS = 2


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident bytes of this process after so many trainings."""

    trainings: int
    resident_bytes: int


def measure_trainings(*, trainings: int = 1000, every: int = 100) -> Iterator[Resident]:
    """Train tries of two new paths of four layers on a few digits; read the memory after each `every` trainings."""
    data = load_data("digits", train_limit=100)
    space = LayerSpace(xu24(0.25), input_shape=data.image_shape, num_classes=data.num_classes, max_layers=4)
    evaluator = JointEvaluator(space, data, recipe=Recipe(crop_padding=1), device=torch.device("cpu"))
    for done in range(0, trainings + 1, PATHS):
        if done % every == 0:
            yield Resident(done, resident())
        evaluator.evaluate(tree_paths(space, depth=4, count=PATHS, seed=done), budget=Budget(1), seed=done)


def resident() -> int:
    """Resident bytes of this process; ConfigError where the system does not tell."""
    statm = FilePath("/proc/self/statm")
    if not statm.is_file():
        raise ConfigError("this needs Linux: resident memory is read from /proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
