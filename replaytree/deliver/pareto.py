"""Choose what to deploy: the prefixes on the Pareto front, and their latency measured here."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Unpack

import numpy as np
import torch
from torch import nn

from replaytree.config.limits import CostLimits
from replaytree.deliver.subject import network_builders
from replaytree.records import Shape
from replaytree.space.costs import COSTS
from replaytree.tree import Node, ReplayTree

ROUNDS = 5
WARM_UP = 3
PASSES = 9


def pareto_front(values: Sequence[Sequence[float]]) -> list[int]:
    """The positions of the rows that no other dominates, in order; every column is minimised.

    One row dominates another if it is nowhere larger and somewhere smaller (Pareto, 1906), so equal rows all stay.
    """
    if not len(values):
        return []
    table = np.asarray(values, dtype=float)
    # In lexicographic order the first row that is left is dominated by none: whatever dominates it would come before.
    order = np.lexsort(table.T[::-1])
    found: list[int] = []
    while len(order):
        first, left = table[order[0]], table[order]
        equal = (left == first).all(axis=1)
        found += order[equal].tolist()
        order = order[~(left >= first).all(axis=1)]
    return sorted(found)


def pareto_nodes(
    tree: ReplayTree, *, max_depth: int | None = None, epochs: int | None = None, **limits: Unpack[CostLimits]
) -> list[Node]:
    """The nodes on the front of bound, parameters, FLOPs and RAM, of all that `best` ranks, best first."""
    every = tree.priced(max_depth=max_depth, epochs=epochs, **limits)
    front = pareto_front([_objectives(each.training_bound, each.costs) for each in every])
    return tree.ranked([every[position].node_id for position in front], epochs=epochs)


def fastest(nodes: Sequence[Node], latencies: Sequence[float]) -> list[int]:
    """The positions of the nodes on the front of bound, parameters, FLOPs, RAM and latency."""
    return pareto_front(
        [
            [*_objectives(node.training_bound, [getattr(node, name) for name in COSTS]), latency]
            for node, latency in zip(nodes, latencies, strict=True)
        ]
    )


def _objectives(bound: float | None, costs: Sequence[int | None]) -> list[float]:
    """What is minimised; the bytes of the weights follow from the parameters, and would only make the front longer."""
    known = dict(zip(COSTS, costs, strict=True))
    priced = [math.inf if (cost := known[name]) is None else float(cost) for name in ("params", "flops", "ram_bytes")]
    return [math.inf if bound is None else -bound, *priced]


def measure_latencies(tree: ReplayTree, nodes: Sequence[Node], *, device: torch.device) -> list[float]:
    """Milliseconds for one image through the network of each node, on this device; see latencies()."""
    builders, input_shape = network_builders(tree, nodes)
    return latencies(builders, input_shape, device=device)


@torch.inference_mode()
def latencies(
    builders: Sequence[Callable[[], nn.Module]],
    input_shape: Shape,
    *,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Milliseconds of one image (a batch of 1) through each network: one thread, the median of ROUNDS * PASSES times.

    The networks take turns, and every other round goes backwards, so that neither the order nor other work on the
    machine favours one of them. Each is warmed up before it is timed.
    """
    times: list[list[float]] = [[] for _ in builders]
    image = torch.zeros((1, *input_shape), device=device)
    with _one_thread():
        for number in range(ROUNDS):
            positions = range(len(builders))
            for position in positions if number % 2 == 0 else reversed(positions):
                network = builders[position]().to(device).eval()
                for _ in range(WARM_UP):
                    _pass(network, image)
                for _ in range(PASSES):
                    started = clock()
                    _pass(network, image)
                    times[position].append((clock() - started) * 1000.0)
    return [statistics.median(each) for each in times]


def _pass(network: nn.Module, image: torch.Tensor) -> None:
    network(image)
    if image.device.type == "cuda":
        torch.cuda.synchronize(image.device)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
