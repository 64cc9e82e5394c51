"""Processor time of a training step in float32 and in bfloat16, by turns in one run, of networks of several widths."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import get_args

import torch

from replaytree.bench.gpu.bench import POSTER
from replaytree.config.retraining import PrecisionName
from replaytree.deliver.baseline_networks import BASELINES
from replaytree.networks.trie import SingleHead
from replaytree.records import Shape
from replaytree.space import Graph, LayerSpace, xu24
from replaytree.space.building import build_graph
from replaytree.training.precision import Precision
from replaytree.training.recipe import FULL_BATCH
from replaytree.training.step import Step

CPU = torch.device("cpu")
SHAPE, CLASSES = (3, 32, 32), 10
# The poster's best network, which halves its images once, and one that does so three times.
PATHS = {
    "late pooling": POSTER,
    "early pooling": "res32 max2s2 res64 max2s2 res128 max2s2 res128",
}
WIDTHS = (0.25, 0.5, 1.0)
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class PrecisionCost:
    """Processor milliseconds of a step, medians over the rounds."""

    network: str
    width: float
    flops: int
    float32_ms: float
    bfloat16_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long float32 takes."""
        return self.float32_ms / self.bfloat16_ms


def precision_costs(*, rounds: int, batch: int = FULL_BATCH) -> list[PrecisionCost]:
    """Of two chains of xu24 and the resnets at three widths, and of two baselines as published, for CIFAR-10."""
    costs = []
    for (name, width), graph in _graphs().items():
        steps = {wanted: training_step(graph, wanted, shape=SHAPE, batch=batch) for wanted in get_args(PrecisionName)}
        spent: dict[str, list[float]] = {wanted: [] for wanted in steps}
        for turn in range(WARM_UP + rounds):
            for wanted, step in steps.items():
                started = time.process_time()
                step()
                spent[wanted] += [time.process_time() - started] if turn >= WARM_UP else []
        milliseconds = {wanted: 1e3 * median(each) for wanted, each in spent.items()}
        costs.append(PrecisionCost(name, width, graph.flops, milliseconds["float32"], milliseconds["bfloat16"]))
    return costs


def _graphs() -> dict[tuple[str, float], Graph]:
    graphs: dict[tuple[str, float], Graph] = {}
    for width in WIDTHS:
        space = LayerSpace(xu24(width), input_shape=SHAPE, num_classes=CLASSES, max_layers=9)
        graphs |= {(name, width): space.network(space.parse(path)) for name, path in PATHS.items()}
    for name, known in BASELINES.items():
        if known.narrowest is not None:
            widths = WIDTHS if name.startswith("resnet") else (1.0,)
            graphs |= {(name, width): known.make(SHAPE, CLASSES, width) for width in widths}
    return graphs


def training_step(graph: Graph, wanted: PrecisionName | None, *, shape: Shape, batch: int) -> Callable[[], None]:
    """A call that takes a step of a network as a retraining takes it, on images (C, H, W) that are noise."""
    torch.manual_seed(0)
    network = SingleHead(build_graph(graph)).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    precision = Precision.of(CPU, wanted)
    step = Step(network, optimizer, label_smoothing=0.1, capture=False, device=CPU, precision=precision)
    images_BCHW = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
    labels_B = torch.arange(batch) % 2
    return lambda: step(images_BCHW, labels_B)
