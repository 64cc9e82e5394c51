"""Choose what to deploy: the prefixes on the Pareto front, and their latency measured here."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from replaytree.deliver.subject import network_builders
from replaytree.records import Shape
from replaytree.tree import Node, ReplayTree

_T = TypeVar("_T")

ROUNDS = 5
WARM_UP = 3
PASSES = 9


def pareto_front(items: Sequence[_T], objectives: Callable[[_T], Sequence[float]]) -> list[_T]:
    """The items that no other dominates, in their order; every objective is minimised.

    One item dominates another if it is nowhere larger and somewhere smaller (Pareto, 1906), so equal items all stay.
    """
    values = [tuple(objectives(item)) for item in items]
    return [
        item
        for item, own in zip(items, values, strict=True)
        if not any(other != own and all(o <= v for o, v in zip(other, own, strict=True)) for other in values)
    ]


def pareto_nodes(nodes: Sequence[Node], latencies: Sequence[float] | None = None) -> list[int]:
    """The positions of the nodes on the front of bound, parameters, FLOPs and, if given, latency."""

    def objectives(position: int) -> list[float]:
        node = nodes[position]
        costs = [math.inf if cost is None else float(cost) for cost in (node.params, node.flops)]
        bound = -math.inf if node.training_bound is None else node.training_bound
        return [-bound, *costs, *([] if latencies is None else [latencies[position]])]

    return pareto_front(range(len(nodes)), objectives)


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
