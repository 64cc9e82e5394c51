"""What must work on a GPU: its versions and peaks, and trainings that are captured, that wait, or that lack memory."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from replaytree.bench.evaluator import matrix_peak
from replaytree.bench.gpu.bench import Bench
from replaytree.bench.machine import machine
from replaytree.config import Budget
from replaytree.data import ImageData
from replaytree.evaluate import JointEvaluator
from replaytree.networks.trie import PrefixNetwork
from replaytree.records import Path
from replaytree.space import Convolution, CustomLayer, LayerSpace
from replaytree.training import Precision
from replaytree.training.loop import Training

GIB = 2**30
# What a trial of little memory leaves: a batch of 1,024 of the wide path needs several times as much.
ROOM = 3 * GIB


def versions(bench: Bench) -> dict[str, Any]:
    """Versions, precision, peak of matrix products and rate of copies to the device."""
    found: dict[str, Any] = {**machine(), "device": str(bench.device), "precision": str(Precision.of(bench.device))}
    if bench.device.type == "cuda":
        found["card"] = torch.cuda.get_device_name(bench.device)
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(bench.device)))
        found["bf16_peak_flops"] = matrix_peak(bench.device)
        block = torch.zeros(GIB // 4, dtype=torch.uint8).pin_memory()
        block.to(bench.device)
        found["copy_bytes_a_second"] = len(block) / bench.seconds(lambda: block.to(bench.device, non_blocking=True))
    return found


def essentials(bench: Bench) -> dict[str, Any]:
    """What must work: a captured training, one whose layer waits, another, a lack of memory, and the device by name."""

    class Waits(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * (1.0 if images.sum().item() != 0.0 else 2.0)

    own = CustomLayer("waits", lambda _: Waits(), lambda shape: shape, lambda _: (0, 0))
    space = LayerSpace([Convolution(32, 3), own], input_shape=bench.data.image_shape, num_classes=10, max_layers=2)

    def train(path: Path, data: ImageData) -> dict[str, Any]:
        recipe = bench.recipe(bench.batches[0], 0.1)
        training = Training(PrefixNetwork(space, [path], 10), data, epochs=1, recipe=recipe, seed=0)
        seconds = bench.seconds(lambda: training.run(until=1))
        return {"captured": training.captured, "accuracy": training.validate()[-1], "seconds": seconds}

    found = {"captured": train((0, 0), bench.data), "waiting": train((0, 1), bench.data)}
    found["after waiting"] = train((0, 0), bench.data)
    if bench.device.type == "cuda":
        found["lack of memory"] = lack_of_memory(bench)
        found["after lack"] = train((0, 0), bench.data)
    found["by name"] = train((0, 0), bench.data.to(str(bench.device)))
    return found


def lack_of_memory(bench: Bench) -> dict[str, Any]:
    """One training where all memory but ROOM is taken: how often its batch was halved, and whether it ended well."""
    recipe = bench.recipe(bench.batches[-1], 0.1)
    evaluator = JointEvaluator(bench.space, bench.data, recipe=recipe, device=bench.device, memory_bytes=2**62)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(bench.device)
    taken = torch.empty(max(0, free - ROOM), dtype=torch.uint8, device=bench.device)
    heard: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("replaytree")
    log.addHandler(listener)
    try:
        [evaluation] = evaluator.evaluate([bench.paths["wide"]], budget=Budget(1), seed=0)
    finally:
        log.removeHandler(listener)
    found = {"room": ROOM, "batch": recipe.batch_size, "told": heard, "failure": evaluation.failure}
    found["text"], found["accuracies"] = evaluation.failure_text, list(evaluation.accuracies)
    del taken
    torch.cuda.empty_cache()
    return found | {"reserved_after": torch.cuda.memory_reserved(bench.device)}
