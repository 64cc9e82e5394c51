"""How well the sum over a latency table tells what whole networks take: random networks, each timed as a whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from scipy.stats import spearmanr

from replaytree.deliver.latency import FromBytes, eager_runner, latencies, onnx_runner
from replaytree.policy.random_search import random_path
from replaytree.space.building import build
from replaytree.space.coding import labels
from replaytree.space.graph_space import GraphSpace
from replaytree.space.latency_table import LatencyTable


@dataclass(frozen=True, slots=True)
class Compared:
    """One network: milliseconds by the table, of its ONNX as a whole, and in eager PyTorch."""

    labels: str
    table_ms: float
    onnx_ms: float
    eager_ms: float

    @property
    def error(self) -> float:
        """How far the sum is from the whole, as a share of the whole; above 0 where the sum is larger."""
        return self.table_ms / self.onnx_ms - 1.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over n networks: Spearman's rank correlation, and errors as shares of what the whole network takes."""

    n: int
    spearman: float
    spearman_flops: float
    median_error: float
    worst_error: float
    eager_ratio: float


def compare(
    space: GraphSpace, table: LatencyTable, *, networks: int, seed: int = 0
) -> tuple[list[Compared], Agreement]:
    """Random prefixes of a space, of every depth in turn, whose networks take turns in being timed."""
    generator = torch.Generator().manual_seed(seed)
    paths = [random_path(space, 1 + number % space.max_layers, generator).path for number in range(networks)]
    graphs = [space.network(path) for path in paths]
    whole = latencies([onnx_runner(FromBytes(build(graph)), [space.network(()).input_shape]) for graph in graphs])
    eager = latencies([eager_runner(partial(build, graph), graph.input_shape, torch.device("cpu")) for graph in graphs])
    rows = [
        Compared(" ".join(labels(space, path)), table.latency_ms(graph), onnx, slow)
        for path, graph, onnx, slow in zip(paths, graphs, whole, eager, strict=True)
    ]
    return rows, agreement(rows, [graph.flops for graph in graphs])


def agreement(rows: Sequence[Compared], flops: Sequence[int]) -> Agreement:
    """How the sums agree with the networks; beside it how FLOPs, which cost nothing to know, rank them."""
    errors = sorted(abs(row.error) for row in rows)
    middle = len(errors) // 2
    median = errors[middle] if len(errors) % 2 else (errors[middle - 1] + errors[middle]) / 2
    measured = [row.onnx_ms for row in rows]
    ratios = [math.log(row.eager_ms / row.onnx_ms) for row in rows]
    return Agreement(
        n=len(rows),
        spearman=float(spearmanr([row.table_ms for row in rows], measured).statistic),
        spearman_flops=float(spearmanr(flops, measured).statistic),
        median_error=median,
        worst_error=max((row.error for row in rows), key=abs),
        eager_ratio=math.exp(math.fsum(ratios) / len(ratios)),
    )
