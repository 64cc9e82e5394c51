"""The training loop: one network with T heads on examples that lie on the device.

Shapes: B examples a batch, T heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from replaytree.data import Data, ImageData
from replaytree.networks.reading import Reading
from replaytree.networks.regularised import RegularisedNetwork
from replaytree.training.averaging import TriggeredAverage, WeightAverage
from replaytree.training.baton import hand_on, require_run
from replaytree.training.class_weights import class_weights
from replaytree.training.compiled import compile_network, compiler_errors
from replaytree.training.device import on
from replaytree.training.diverged import Diverged
from replaytree.training.examples import Examples
from replaytree.training.images import ImageExamples
from replaytree.training.precision import Precision, whole_float32
from replaytree.training.recipe import Recipe
from replaytree.training.step import Step
from replaytree.training.text import TextExamples
from replaytree.training.threads import using


class Training:
    """One network in training, in place, on the sum of its heads' cross-entropies, on the device of its data.

    What an epoch is, and how a network is validated, is the examples' own (images.py, text.py). Nothing waits for the
    device inside an epoch. `threads` is asked at the beginning of each. The network is moved to the device of the data.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        *,
        epochs: int,
        recipe: Recipe,
        seed: int,
        threads: Callable[[], int] = torch.get_num_threads,
    ) -> None:
        self._device = device = data.device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._examples = examples_of(data, recipe, draws=self._generator)
        self._network = self._examples.placed(network)
        self._recipe = recipe
        self._threads = threads
        self._epoch_steps = self._examples.epoch_steps
        self._epochs = epochs
        self._steps = self._epoch_steps * epochs
        self._average = _average_of(self._network, recipe, steps=self._steps)
        self._optimizer = torch.optim.SGD(
            self._network.parameters(),
            # A captured step reads the rate from the device; a number would be captured as it was.
            lr=torch.tensor(recipe.learning_rate, device=device) if device.type == "cuda" else recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.nesterov and recipe.momentum > 0.0,
            # 0.2 ms a step against 1.3 for ten layers on a CPU.
            fused=True,
        )
        self._final = self._network if isinstance(self._network, RegularisedNetwork) else None
        second = self._final is not None and self._final.auxiliary is not None
        self._head_weights = (1.0, recipe.auxiliary_weight) if second else None
        self._step = Step(
            self._network,
            self._optimizer,
            label_smoothing=recipe.label_smoothing,
            capture=recipe.capture,
            # The compiler fuses what it is given, and cannot look into other kernels.
            fuse=recipe.fuse and not recipe.compile,
            device=device,
            head_weights=self._head_weights,
            grad_clip=recipe.grad_clip,
            class_weights=class_weights(data, recipe),
            precision=Precision.of(device, recipe.precision),
        )
        if recipe.compile:
            compile_network(self._network)
        self.epoch = 0

    @property
    def trained(self) -> nn.Module:
        """The network as it is now: with averaged weights where the recipe asks for them."""
        return self._network if self._average is None else self._average.network

    @property
    def loss(self) -> float:
        """The loss of the last epoch, the mean over its batches, summed over the heads as they are weighted."""
        losses = self._step.losses()
        weights = self._head_weights or (1.0,) * len(losses)
        return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / self._epoch_steps

    @property
    def captured(self) -> bool:
        """Whether steps are replays of a CUDA graph by now."""
        return self._step.captured

    def run(self, *, until: int) -> None:
        """Train until this many epochs are done. Raises Diverged when a loss of an epoch is not finite."""
        while self.epoch < until:
            self._network.train()
            with using(self._threads()), on(self._device), whole_float32(self._device), compiler_errors():
                self._run_epoch()
            self.epoch += 1
            hand_on()
            losses = self._step.losses()
            if not all(map(math.isfinite, losses)):
                raise Diverged(
                    f"the training loss became {sum(losses)} in epoch {self.epoch}", self._step.first_to_fail()
                )
            average = self._average
            if isinstance(average, TriggeredAverage) and average.can_begin(epoch=self.epoch, epochs=self._epochs):
                average.heard(self.validate()[0])

    def _run_epoch(self) -> None:
        self._step.begin()
        if isinstance(self._network, Reading):
            self._network.begin()
        batches = self._examples.batches(generator=self._generator, epoch=self.epoch)
        for step, (inputs, labels_B) in enumerate(batches, start=self.epoch * self._epoch_steps):
            require_run()
            self._set_rate(self._recipe.rate(step, self._steps, epoch_steps=self._epoch_steps))
            if self._final is not None:
                self._final.set_rate(self._recipe.drop_path * step / self._steps)
            self._step(inputs, labels_B)
            if self._average is not None:
                self._average.update(step)

    def validate(self) -> list[float]:
        """What validation says of each head as it is now: a fraction, higher is better."""
        with using(self._threads()), on(self._device), whole_float32(self._device):
            return self._examples.validated(self.trained)

    def finish(self, *, until: int) -> tuple[list[float], list[float] | None]:
        """Train until this many epochs are done. Returns the validation accuracy of each head then, and its best.

        The best is that after any of the last `recipe.reward_epochs` epochs; None where that is one epoch.
        """
        last = self._recipe.reward_epochs
        if last == 1:
            self.run(until=until)
            return self.validate(), None
        best: list[float] = []
        for epoch in range(min(until, max(self.epoch, until - last) + 1), until + 1):
            self.run(until=epoch)
            accuracies = self.validate()
            best = [max(pair) for pair in zip(best or accuracies, accuracies, strict=True)]
        return accuracies, best

    def state_dict(self) -> dict[str, Any]:
        """All that later epochs depend on: tensors, numbers and strings. As in torch, the tensors are those in use.

        Layers may draw from torch's global generators (dropout), so their states belong to it.
        """
        return {
            "device": self._device.type,
            "epoch": self.epoch,
            "network": self._network.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self._step.state_dict(),
            "generator": self._generator.get_state(),
            "global generators": [
                torch.get_rng_state(),
                *([torch.cuda.get_rng_state(self._device)] if self._device.type == "cuda" else []),
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict; ValueError for a state of another kind of device, whose random numbers differ."""
        if state["device"] != self._device.type:
            raise ValueError(f"it was trained on {state['device']}, and this is {self._device.type}")
        self._network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"].cpu())
        own, *others = (each.cpu() for each in state["global generators"])
        torch.set_rng_state(own)
        for other in others:
            torch.cuda.set_rng_state(other, self._device)
        self._step.load_state_dict(state.get("step", {}))
        self.epoch = int(state["epoch"])

    def network_changed(self) -> None:
        """To be called when the network has lost layers. The optimiser skips parameters without a gradient."""
        assert self._average is None, "the average would keep the lost layers"
        self._step.reset()

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


def examples_of(data: Data, recipe: Recipe, *, draws: torch.Generator | None = None) -> Examples:
    """The data as a training reads them; `draws` makes what is drawn once a training."""
    return ImageExamples(data, recipe, draws=draws) if isinstance(data, ImageData) else TextExamples(data, recipe)


def _average_of(network: nn.Module, recipe: Recipe, *, steps: int) -> WeightAverage | TriggeredAverage | None:
    """The average that a recipe asks for."""
    if recipe.average_share:
        return WeightAverage(network, share=recipe.average_share, steps=steps)
    return None if recipe.nonmono is None else TriggeredAverage(network, patience=recipe.nonmono)


def train(
    network: nn.Module,
    data: Data,
    *,
    epochs: int,
    recipe: Recipe,
    seed: int,
    threads: Callable[[], int] = torch.get_num_threads,
) -> None:
    """A Training from beginning to end. Raises Diverged."""
    Training(network, data, epochs=epochs, recipe=recipe, seed=seed, threads=threads).run(until=epochs)
