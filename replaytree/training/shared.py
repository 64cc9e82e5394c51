"""Training a supernet, one path a minibatch, and scoring paths with its weights.

Shapes: B examples a batch, K classes, T heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from replaytree.data import Data
from replaytree.networks.recurrent import PathReading, RecurrentSupernet
from replaytree.networks.supernet import PathNetwork, Supernet
from replaytree.records import Path
from replaytree.training.class_weights import class_weights, mean_loss
from replaytree.training.loop import examples_of
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe
from replaytree.training.step import logits_of


class SupernetTraining:
    """A supernet in training on the device of its data.

    A step is an ordinary step of SGD on the network of one path, whose weights are the supernet's: only the weights of
    that path change, and only their momenta. The loss is the sum over the network's heads of the mean cross-entropy.
    Gradients that are together longer than `clip` are shortened to it.

    A text is read on where the last step ended, and from the state that its path left, as in ENAS.
    """

    def __init__(
        self, supernet: Supernet | RecurrentSupernet, data: Data, *, recipe: Recipe, clip: float | None = None
    ) -> None:
        self.supernet = supernet
        self.examples = examples_of(data, recipe)
        self._recipe = recipe
        self._clip = clip
        self._class_weights_K = class_weights(data, recipe)
        self._device = data.device
        self._precision = Precision.unscaled(self._device)
        self._epoch_steps = self.examples.epoch_steps
        self._taken = 0.0
        self._state: Tensor | None = None

    @property
    def passes(self) -> float:
        """Passes over the training examples so far."""
        return self._taken / self._epoch_steps

    def steps(self, passes: float) -> int:
        """The steps of so many passes, rounded; 0 where that is less than half a step."""
        return round(passes * self._epoch_steps)

    def batches(self, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without end: one pass over the training examples after the other, images each in a fresh order."""
        generator = torch.Generator(self._device).manual_seed(seed)
        first = round(self._taken) % self._epoch_steps
        while True:
            if not first:
                self._state = None
            yield from self.examples.batches(generator=generator, first=first)
            first = 0

    def step(self, path: Path, inputs: Tensor, labels_B: Tensor, *, rate: float, share: float = 1.0) -> bool:
        """Train a path on a batch at a learning rate, or on a `share` of a batch, at this share of the rate.

        False where the loss or a gradient is not finite; then no weight has changed.
        """
        recipe = self._recipe
        network = self.supernet.network([path]).train()
        if isinstance(network, PathReading):
            network.go_on(self._state)
        logits_TBK = logits_of(network, inputs, self._precision)
        self._state = network.state if isinstance(network, PathReading) else None
        loss = len(logits_TBK) * mean_loss(
            logits_TBK.flatten(0, 1),
            labels_B.repeat(len(logits_TBK)),
            label_smoothing=recipe.label_smoothing,
            weights_K=self._class_weights_K,
        )
        # Not autograd.grad, whose gradients may lie otherwise in memory than the weights, which the fused step ignores.
        loss.backward()  # type: ignore[no-untyped-call]
        trained: list[tuple[Tensor, Tensor, Tensor]] = [
            (weight, weight.grad, own) for weight, own in network.weights_and_momenta if weight.grad is not None
        ]
        for factor, layers in network.by_factor.items():
            torch._foreach_mul_([weight.grad for weight in layers if weight.grad is not None], factor)
        self._taken += share
        for weight, _, _ in trained:
            weight.grad = None
        weights, gradients, momenta = (list(each) for each in zip(*trained, strict=True))
        length = torch.nn.utils.get_total_norm(gradients)
        if not length.isfinite():
            self._state = None
            return False
        if self._clip is not None:
            torch._foreach_mul_(gradients, (self._clip / length).clamp(max=1.0))
        with torch.no_grad():
            sgd(
                weights,
                gradients,
                momenta,
                # The fused step takes a part of a tensor for a whole one.
                fused=network.is_dense,
                foreach=not network.is_dense,
                weight_decay=recipe.weight_decay,
                momentum=recipe.momentum,
                lr=share * rate,
                dampening=0.0,
                nesterov=recipe.momentum > 0.0,
                maximize=False,
            )
        return True

    def accuracies(
        self, paths: Sequence[Path], held_out: Tensor, *, batch_size: int
    ) -> tuple[PathNetwork | PathReading, list[float]]:
        """The network of these paths, and the metric of each of its heads on held out examples.

        Batch norm takes the statistics of batches of about `batch_size` of them, which are of equal size.
        """
        network = self.supernet.network(paths).train(mode=False)
        return network, self.examples.scores(network, held_out, batch_size=batch_size)

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on: tensors and numbers."""
        state = {} if self._state is None else {"state": self._state}
        return {"steps": self._taken, **state, **self.supernet.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self.supernet.load_state_dict(state)
        self._taken = float(state["steps"])
        carried = state.get("state")
        self._state = None if carried is None else carried.to(self._device)
