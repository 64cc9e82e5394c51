"""How long one image takes on this machine: networks and layers as ONNX in onnxruntime, or in eager PyTorch."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from replaytree.deliver.onnx_file import require_packages
from replaytree.deliver.subject import network_builders
from replaytree.records import Shape
from replaytree.space.building import build_layer
from replaytree.space.latency_table import Key, LatencyTable, key_of
from replaytree.space.layers import Layer
from replaytree.tree import Node, ReplayTree

ROUNDS = 5
WARM_UP = 3
PASSES = 9

Runner = Callable[[], object]
"""Runs a network once."""

Runtime = Literal["onnxruntime", "pytorch"]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of one image, network by network, and what ran them."""

    milliseconds: list[float]
    runtime: Runtime


def has_onnxruntime() -> bool:
    """Whether networks can be timed as ONNX here."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def measure_latencies(tree: ReplayTree, nodes: Sequence[Node], *, device: torch.device) -> Latencies:
    """Milliseconds for one image through the network of each node, on one thread; see latencies().

    On a CPU networks of images are timed as they are exported: ONNX in onnxruntime, from bytes to logits. On another
    device, for text, and where onnxruntime is missing, they are timed in eager PyTorch, which takes longer.
    """
    builders, shape = network_builders(tree, nodes)
    if device.type == "cpu" and has_onnxruntime() and tree.info().task == "images":
        return Latencies(latencies([onnx_runner(FromBytes(build()), [shape]) for build in builders]), "onnxruntime")
    return Latencies(latencies([eager_runner(build, shape, device) for build in builders]), "pytorch")


def latencies(runners: Sequence[Runner], *, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Milliseconds of each runner: one thread, the median of ROUNDS * PASSES times.

    The networks take turns, and every other round goes backwards, so that neither the order nor other work on the
    machine favours one of them. Each is warmed up before it is timed.
    """
    times: list[list[float]] = [[] for _ in runners]
    with _one_thread(), torch.inference_mode():
        for number in range(ROUNDS):
            positions = range(len(runners))
            for position in positions if number % 2 == 0 else reversed(positions):
                run = runners[position]
                for _ in range(WARM_UP):
                    run()
                for _ in range(PASSES):
                    started = clock()
                    run()
                    times[position].append((clock() - started) * 1000.0)
    return [statistics.median(each) for each in times]


class FromBytes(nn.Module):
    """A network behind the normalisation of bytes, as it is exported. Which mean and deviation costs the same."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """uint8 (N, C, H, W) -> what the network makes."""
        made: Tensor = self.network((images_NCHW.to(torch.float32) / 255.0 - 0.5) / 0.25)
        return made


def onnx_runner(module: nn.Module, shapes: Sequence[Shape]) -> Runner:
    """The module as ONNX in onnxruntime, on one thread, with one input of each shape: bytes for FromBytes."""
    import onnxruntime

    kind = torch.uint8 if isinstance(module, FromBytes) else torch.float32
    inputs = tuple(torch.zeros((1, *shape), dtype=kind) for shape in shapes)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="replaytree-") as folder:
        # The older exporter takes a tenth of the time, and warns that it is the older one. onnxruntime fuses what it
        # writes into the same kernels.
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), inputs, Path(folder) / "network.onnx", dynamo=False)
        content = (Path(folder) / "network.onnx").read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # What a network does not use of its inputs is no input of its file.
    given = {each.name: tensor.numpy() for each, tensor in zip(session.get_inputs(), inputs, strict=False)}
    return lambda: session.run(None, given)


def measured_table(
    parts: Sequence[tuple[Layer, tuple[Shape, ...]]], image: Shape, *, at_once: int = 100
) -> Iterator[tuple[int, LatencyTable]]:
    """The latencies of layers, each as a network of its own less the time of a call; after each hundred the table.

    What any network takes beside its layers is the time of one without layers, which normalises an image.
    """
    require_packages("onnx", "onnxruntime")
    call = onnx_runner(nn.ReLU(), [(1, 1, 1)])
    found: dict[Key, float] = {}
    spent: list[float] = []
    for start in range(0, len(parts), at_once):
        some = parts[start : start + at_once]
        layers = [onnx_runner(build_layer(layer, *shapes), shapes) for layer, shapes in some]
        # Of each hundred the call is timed beside them.
        own, *times = latencies([call, *layers])
        found |= {
            key_of(layer, shapes): max(0.0, each - own) for (layer, shapes), each in zip(some, times, strict=True)
        }
        spent += latencies([onnx_runner(FromBytes(nn.Identity()), [image])])
        yield len(found), LatencyTable(found, statistics.median(spent))


def eager_runner(build: Callable[[], nn.Module], shape: Shape, device: torch.device) -> Runner:
    """The module in eager PyTorch on a device."""
    network, image = build().to(device).eval(), torch.zeros((1, *shape), device=device)

    def run() -> None:
        network(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
