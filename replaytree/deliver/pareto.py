"""Choosing what to deploy: the prefixes that no other beats, and latency measured here."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn

from replaytree.deliver.subject import networks_of
from replaytree.tree import Node, ReplayTree

_T = TypeVar("_T")


def pareto_front(items: Sequence[_T], objectives: Callable[[_T], Sequence[float]]) -> list[_T]:
    """The items that no other dominates, in their order; every objective is to be small.

    One item dominates another if it is nowhere larger and somewhere smaller (Pareto, 1906), so equals all stay.
    """
    values = [tuple(objectives(item)) for item in items]
    return [
        item
        for item, own in zip(items, values, strict=True)
        if not any(other != own and all(o <= v for o, v in zip(other, own, strict=True)) for other in values)
    ]


def pareto_nodes(nodes: Sequence[Node], latencies: Sequence[float] | None = None) -> list[int]:
    """The positions of the nodes that none beats in accuracy, parameters, FLOPs and, where given, latency."""

    def objectives(position: int) -> list[float]:
        node = nodes[position]
        costs = [math.inf if cost is None else float(cost) for cost in (node.params, node.flops)]
        return [-(node.average_accuracy or 0.0), *costs, *([] if latencies is None else [latencies[position]])]

    return pareto_front(range(len(nodes)), objectives)


def measure_latencies(tree: ReplayTree, nodes: Sequence[Node], *, device: torch.device) -> list[float]:
    """Milliseconds for one image through the network of each node, on this device."""
    return [
        latency_milliseconds(network, input_shape, device=device) for network, input_shape in networks_of(tree, nodes)
    ]


@torch.inference_mode()
def latency_milliseconds(
    network: nn.Module, input_shape: tuple[int, int, int], *, device: torch.device, repeats: int = 20
) -> float:
    """Median time of one image through the network, in milliseconds, after three passes to warm up."""
    network = network.to(device).eval()
    image = torch.zeros((1, *input_shape), device=device)

    def once() -> float:
        started = time.perf_counter()
        network(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - started) * 1000.0

    for _ in range(3):
        once()
    return statistics.median(once() for _ in range(repeats))
