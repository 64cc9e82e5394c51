"""Train one network with the full recipe and a checkpoint an epoch. Resumed and uninterrupted trainings are equal.

Shapes: N images, B images a batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import io
import math
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from replaytree.data import augment, cutout
from replaytree.deliver.deployed import Deployed
from replaytree.deliver.description import Description
from replaytree.deliver.recipe import FullRecipe, average_decay, one_cycle
from replaytree.deliver.writing import write_whole
from replaytree.errors import ModelError, ReplayTreeError
from replaytree.training import Threads, using


@dataclass(frozen=True, slots=True)
class EpochDone:
    """Progress of a full training. `loss` is the epoch's mean; `seconds` and `run_epochs` count from this call."""

    seed: int
    epoch: int
    epochs: int
    loss: float
    run_epochs: int
    seconds: float


class TrainingDiverged(ReplayTreeError):
    """The loss of a full training is not finite."""


class FullTraining:
    """One training, from a seed to averaged weights; the description has the seed and the recipe."""

    def __init__(
        self,
        description: Description,
        images_NCHW: Tensor,
        labels_N: Tensor,
        *,
        device: torch.device,
        threads: Threads | None = None,
    ) -> None:
        recipe, seed = FullRecipe(**description.training), description.seed
        self._description = description
        self._images_NCHW = images_NCHW.to(device)
        self._labels_N = labels_N.to(device)
        self._recipe = recipe
        self._seed = seed
        self._device = device
        self._threads = (threads or Threads.of()) if device.type == "cpu" else Threads(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Deployed(description)
            self.average = Deployed(description)
        self.average.load_state_dict(self.model.state_dict())
        for model in (self.model, self.average):
            model.to(device)
        self._generator = torch.Generator(device).manual_seed(seed)
        self._optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0.0,
        )
        self.epoch = 0

    def run(self, *, checkpoint: Path | None = None, on_epoch: Callable[[EpochDone], None] | None = None) -> Deployed:
        """Train to the end, from `checkpoint` if that file exists. Returns the model with averaged weights, on the CPU.

        Raises TrainingDiverged; and ModelError, before the first epoch, for a checkpoint that is of another training or
        cannot be written.
        """
        if checkpoint is not None:
            if checkpoint.exists():
                self.load(checkpoint)
            else:
                self.save(checkpoint)
        started, first = time.monotonic(), self.epoch
        while self.epoch < self._recipe.epochs:
            with using(self._threads.number(self.model.multiply_adds * self._recipe.batch_size)):
                loss = self._train_epoch()
            if not math.isfinite(loss):
                raise TrainingDiverged(
                    f"the training of {self._description.labels!r} with seed {self._seed} diverged in epoch "
                    f"{self.epoch + 1}: its loss is {loss}; lower --learning-rate ({self._recipe.learning_rate})"
                )
            self.epoch += 1
            if checkpoint is not None:
                self.save(checkpoint)
            if on_epoch is not None:
                seconds = time.monotonic() - started
                on_epoch(EpochDone(self._seed, self.epoch, self._recipe.epochs, loss, self.epoch - first, seconds))
        return self.average.cpu().eval()

    def _train_epoch(self) -> float:
        recipe, device = self._recipe, self._device
        batches = math.ceil(len(self._labels_N) / recipe.batch_size)
        steps = batches * recipe.epochs
        total = torch.zeros((), device=device)
        self.model.train()
        order_N = torch.randperm(len(self._labels_N), generator=self._generator, device=device)
        # Equal batches, because batch norm fails on a last batch of one image.
        for number, index_B in enumerate(order_N.tensor_split(batches)):
            step = self.epoch * batches + number
            for group in self._optimizer.param_groups:
                group["lr"] = one_cycle(step, steps, peak=recipe.learning_rate)
            loss = self._loss(self._images_NCHW[index_B], self._labels_N[index_B])
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._average(average_decay(step, steps, share=recipe.average_share))
            total += loss.detach() * len(index_B)
        return float(total) / len(self._labels_N)

    def _loss(self, images_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        recipe, generator = self._recipe, self._generator
        images_BCHW = augment(images_BCHW, crop_padding=recipe.crop_padding, flip=recipe.flip, generator=generator)
        images_BCHW = cutout(images_BCHW, size=recipe.cutout, fill=self._description.mean, generator=generator)
        model = self.model
        inputs_BCHW = (images_BCHW.float() / 255.0 - model.mean_C11) / model.std_C11
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
            logits_BK = model.network(inputs_BCHW)
        return functional.cross_entropy(logits_BK.float(), labels_B, label_smoothing=recipe.label_smoothing)

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        """Average the weights and the batch norm statistics; copy the counters."""
        kept, new = self.average.network.state_dict(), self.model.network.state_dict()
        floating = [name for name in kept if kept[name].is_floating_point()]
        torch._foreach_lerp_([kept[name] for name in floating], [new[name] for name in floating], 1.0 - decay)
        for name in kept.keys() - floating:
            kept[name].copy_(new[name])

    def save(self, file: Path) -> None:
        """Write a checkpoint of tensors and plain values, whole or not at all."""
        content = io.BytesIO()
        # Not directly into the file: on a full disk torch's own writer kills the process.
        torch.save(
            {
                "identity": self._description.identity,
                "epoch": self.epoch,
                "model": self.model.network.state_dict(),
                "average": self.average.network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "generator": self._generator.get_state(),
            },
            content,
        )
        write_whole(file, content.getvalue())

    def load(self, file: Path) -> None:
        """Continue from a checkpoint; ModelError if it is of another training, or not a checkpoint."""
        try:
            _require_stored(file)
            state = torch.load(file, map_location=self._device, weights_only=True)
            found = dict(state["identity"])
        except Exception as error:  # torch.load raises UnpicklingError, RuntimeError, EOFError, KeyError and more
            raise ModelError(
                f"{file} is not a checkpoint of replaytree, or it is damaged ({_first_line(error)}); delete it to "
                f"train from the start, or give --force"
            ) from error
        if difference := differing(found, self._description.identity):
            raise ModelError(
                f"the checkpoint {file} is of another training: {difference}; delete it, give --force to train anew, "
                f"or choose another folder with --out"
            )
        self.model.network.load_state_dict(state["model"])
        self.average.network.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())
        self.epoch = int(state["epoch"])


def _require_stored(file: Path) -> None:
    """Raise ValueError for a checkpoint that unpacks to more than its size."""
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type or entry.file_size > size for entry in archive.infolist()):
            raise ValueError("its parts are compressed or larger than the file")


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first difference between two identities, in words; empty if they are equal."""
    for name, value in wanted.items():
        if found.get(name) != value:
            if name == "training images":
                return "it was trained on other images, or they were changed since"
            return f"its {name} is {_short(found.get(name))}, here {_short(value)}"
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
