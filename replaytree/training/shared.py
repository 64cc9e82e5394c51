"""Training a supernet, one path a minibatch, and scoring paths with its weights.

Shapes: N images, B images a batch, C channels, H rows, W columns, K classes, T heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.sgd import sgd

from replaytree.data import ImageData
from replaytree.networks.supernet import PathNetwork, Supernet
from replaytree.records import Path
from replaytree.training.images import epoch_batches, epoch_steps, inputs_of, shares_right
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe


class SupernetTraining:
    """A supernet in training on the device of the images.

    A step is an ordinary step of SGD on the network of one path, whose weights are the supernet's: only the weights of
    that path change, and only their momenta. The loss is the sum over the network's heads of the mean cross-entropy.
    Gradients that are together longer than `clip` are shortened to it.
    """

    def __init__(self, supernet: Supernet, data: ImageData, *, recipe: Recipe, clip: float | None = None) -> None:
        self.supernet = supernet
        self._data = data
        self._recipe = recipe
        self._clip = clip
        self._device = data.train_images.device
        precision = Precision.of(self._device)
        # Scaled losses would need a scale for each path.
        self._precision = Precision(torch.float32) if precision.scaled else precision
        self._epoch_steps = epoch_steps(data, recipe)
        self._taken = 0.0

    @property
    def passes(self) -> float:
        """Passes over the training images so far."""
        return self._taken / self._epoch_steps

    def steps(self, passes: float) -> int:
        """The steps of so many passes, rounded; 0 where that is less than half a step."""
        return round(passes * self._epoch_steps)

    def batches(self, *, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches without end: one pass over the training images after the other, each in a fresh order."""
        generator = torch.Generator(self._device).manual_seed(seed)
        while True:
            yield from epoch_batches(self._data, self._recipe, generator=generator)

    def step(self, path: Path, inputs_BCHW: Tensor, labels_B: Tensor, *, rate: float, share: float = 1.0) -> bool:
        """Train a path on a batch at a learning rate, or on a `share` of a batch, at this share of the rate.

        False where the loss or a gradient is not finite; then no weight has changed.
        """
        recipe = self._recipe
        network = self.supernet.network([path]).train()
        logits_TBK = self._logits(network, inputs_BCHW)
        loss = len(logits_TBK) * functional.cross_entropy(
            logits_TBK.flatten(0, 1), labels_B.repeat(len(logits_TBK)), label_smoothing=recipe.label_smoothing
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

    @torch.no_grad()
    def accuracies(self, paths: Sequence[Path], index_N: Tensor, *, batch_size: int) -> tuple[PathNetwork, list[float]]:
        """The network of these paths, and the accuracy of each of its heads on some validation images.

        Batch norm takes the statistics of batches of about `batch_size` of these images, which are of equal size.
        """
        data = self._data
        network = self.supernet.network(paths).train(mode=False)
        right: list[Tensor] = []
        for part_B in torch.tensor_split(index_N, math.ceil(len(index_N) / batch_size)):
            logits_TBK = self._logits(network, inputs_of(data.val_images[part_B], data))
            right.append(logits_TBK.argmax(dim=2) == data.val_labels[part_B])
        right_TN, labels_N = torch.cat(right, dim=1), data.val_labels[index_N]
        balanced = self._recipe.balanced
        return network, shares_right(right_TN, labels_N, num_classes=data.num_classes, balanced=balanced)

    def _logits(self, network: PathNetwork, inputs_BCHW: Tensor) -> Tensor:
        with self._precision.cast(self._device):
            logits_TBK: Tensor = network(inputs_BCHW)
        return logits_TBK.float()

    def state_dict(self) -> dict[str, Any]:
        """All that later steps depend on: tensors and numbers."""
        return {"steps": self._taken, **self.supernet.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of state_dict."""
        self.supernet.load_state_dict(state)
        self._taken = float(state["steps"])
