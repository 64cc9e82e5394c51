"""Train one network with the full recipe and a checkpoint an epoch. Resumed and uninterrupted trainings are equal."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from replaytree.data import Data
from replaytree.deliver.deployed_text import DeployedText
from replaytree.deliver.description import Description
from replaytree.deliver.made import AnyDeployed, made
from replaytree.deliver.writing import write_whole
from replaytree.errors import ModelError, ReplayTreeError
from replaytree.networks.reading import Reading
from replaytree.networks.regularised import RegularisedNetwork
from replaytree.networks.trie import SingleHead
from replaytree.training import Recipe, Threads
from replaytree.training.device import on
from replaytree.training.diverged import Diverged
from replaytree.training.loop import Training
from replaytree.training.recipe import LATER

# 2: trained by the loop that searches train with.
CHECKPOINT_FORMAT = 2


@dataclass(frozen=True, slots=True)
class EpochDone:
    """Progress of a full training. `loss` is the epoch's mean; `seconds` and `run_epochs` count from this call.

    `first_seconds` are those of the first epoch of this call, in which the step is also compiled or captured.
    """

    seed: int
    epoch: int
    epochs: int
    loss: float
    run_epochs: int
    seconds: float
    first_seconds: float

    @property
    def seconds_left(self) -> float:
        """An estimate, at the pace of the epochs after the first where there are any."""
        later = self.run_epochs - 1
        each = (self.seconds - self.first_seconds) / later if later else self.seconds
        return each * (self.epochs - self.epoch)


class TrainingDiverged(ReplayTreeError):
    """The loss of a full training is not finite."""


class FullTraining:
    """One training, from a seed to averaged weights, with a checkpoint an epoch; the description has the seed.

    `start` are tensors that it starts from, by their name in the network; all others are drawn.
    """

    def __init__(
        self,
        description: Description,
        data: Data,
        recipe: Recipe,
        *,
        device: torch.device,
        threads: Threads | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._description = description
        self._recipe = recipe
        self._device = device
        with self._seeded():
            self.model = made(description)
            if start is not None:
                self.model.network.load_state_dict({**self.model.network.state_dict(), **start})
            network = _in_training(self.model, description, recipe)
        chosen = (threads or Threads.of()) if device.type == "cpu" else Threads(1)
        # The mirror image is not trained on.
        flops = replace(description, mirror=False).flops
        self._training = Training(
            network,
            data.to(device),
            epochs=description.epochs,
            recipe=recipe,
            seed=description.seed,
            threads=partial(chosen.number, flops * recipe.step_units),
        )

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return self._training.epoch

    def run(
        self, *, checkpoint: Path | None = None, on_epoch: Callable[[EpochDone], None] | None = None
    ) -> AnyDeployed:
        """Train to the end, from `checkpoint` if that file exists. Returns the model with averaged weights, on the CPU.

        Raises TrainingDiverged; and ModelError, before the first epoch, for a checkpoint that is of another training or
        cannot be written.
        """
        with self._seeded():
            if checkpoint is not None:
                if checkpoint.exists():
                    self.load(checkpoint)
                else:
                    self.save(checkpoint)
            self._train(checkpoint, on_epoch)
        averaged = self._training.trained
        assert isinstance(averaged, SingleHead | RegularisedNetwork | Reading)
        self.model.network.load_state_dict(averaged.network.state_dict())
        # As a model that is read from a file: another layout is rounded otherwise.
        return self.model.cpu().to(memory_format=torch.contiguous_format).eval()

    def _train(self, checkpoint: Path | None, on_epoch: Callable[[EpochDone], None] | None) -> None:
        description, training = self._description, self._training
        started, first, first_seconds = time.monotonic(), self.epoch, 0.0
        while self.epoch < description.epochs:
            try:
                training.run(until=self.epoch + 1)
            except Diverged as error:
                rate = self._recipe.learning_rate
                if checkpoint is not None:
                    # It would diverge again from there, and it refuses another rate.
                    checkpoint.unlink(missing_ok=True)
                raise TrainingDiverged(
                    f"the training of {description.labels!r} with seed {description.seed} diverged: {error}; give a "
                    f"lower rate, as --learning-rate {rate / 10:g} (it was {rate:g})"
                ) from error
            if checkpoint is not None:
                self.save(checkpoint)
            seconds, run_epochs = time.monotonic() - started, self.epoch - first
            first_seconds = seconds if run_epochs == 1 else first_seconds
            if on_epoch is not None:
                seed, epochs = description.seed, description.epochs
                on_epoch(EpochDone(seed, self.epoch, epochs, training.loss, run_epochs, seconds, first_seconds))

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Let torch's global generators start from the seed meanwhile: layers draw weights and dropout from them."""
        gpus = [self._device] if self._device.type == "cuda" else []
        with on(self._device), torch.random.fork_rng(devices=gpus):
            torch.manual_seed(self._description.seed)
            yield

    def save(self, file: Path) -> None:
        """Write a checkpoint of tensors and plain values, whole or not at all."""
        content = io.BytesIO()
        # Not directly into the file: on a full disk torch's own writer kills the process.
        torch.save(
            {
                "format": CHECKPOINT_FORMAT,
                "identity": self._description.identity,
                "training": self._training.state_dict(),
            },
            content,
        )
        write_whole(file, content.getvalue())

    def load(self, file: Path) -> None:
        """Continue from a checkpoint; ModelError if it is of another training, or not a checkpoint."""
        try:
            _require_stored(file)
            state = torch.load(file, map_location=self._device, weights_only=True)
            found, written = dict(state["identity"]), state.get("format")
        except Exception as error:  # torch.load raises UnpicklingError, RuntimeError, EOFError, KeyError and more
            raise ModelError(
                f"{file} is not a checkpoint of replaytree, or it is damaged ({_first_line(error)}); delete it to "
                f"train from the start, or give --force"
            ) from error
        if written != CHECKPOINT_FORMAT:
            raise ModelError(
                f"the checkpoint {file} was written by another version of replaytree, which trained otherwise (format "
                f"{written}, here {CHECKPOINT_FORMAT}); delete it to train from the start, or give --force"
            )
        if difference := differing(found, self._description.identity):
            raise ModelError(
                f"the checkpoint {file} is of another training: {difference}; delete it, give --force to train anew, "
                f"or choose another folder with --out"
            )
        try:
            self._training.load_state_dict(state["training"])
        except Exception as error:  # tensors of other shapes, other random numbers, missing keys
            raise ModelError(
                f"the checkpoint {file} cannot be gone on with here ({_first_line(error)}); give the --device that it "
                f"was trained on, or --force to train from the start"
            ) from error


def _in_training(model: AnyDeployed, description: Description, recipe: Recipe) -> nn.Module:
    """The network with what a recipe adds to it in training, as far as the graph has parts for that."""
    if isinstance(model, DeployedText):
        return Reading(model.network)
    network, graph = model.network, description.layers
    auxiliary = recipe.auxiliary_weight > 0.0 and graph.auxiliary is not None
    drops = recipe.drop_path > 0.0 and any(node.drop for node in graph.nodes)
    return RegularisedNetwork(network, graph, auxiliary=auxiliary) if auxiliary or drops else SingleHead(network)


def _require_stored(file: Path) -> None:
    """Raise ValueError for a checkpoint that unpacks to more than its size."""
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        if any(entry.compress_type or entry.file_size > size for entry in archive.infolist()):
            raise ValueError("its parts are compressed or larger than the file")


def differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first difference between two identities, in words; empty if they are equal.

    What only one of them has is at its value of old in the other (Recipe.values).
    """
    for name in dict.fromkeys((*wanted, *found)):
        before, now = (each.get(name, LATER.get(name)) for each in (found, wanted))
        if before != now:
            if name in ("training images", "training words"):
                return f"it was trained on other {name.removeprefix('training ')}, or they were changed since"
            return f"its {name} is {_short(before)}, here {_short(now)}"
    return ""


def _short(value: object) -> str:
    text = "not given" if value is None else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
