"""The training loop: one network with T heads on images that lie on the device.

Shapes: N training images, B images a batch, K classes, T heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from replaytree.config import Budget, SearchConfig
from replaytree.data import ImageData, augment, normalise

EVALUATION_BATCH = 512


class Diverged(Exception):
    """The loss of a training is not finite: an outcome, not a fault."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum, one-cycle schedule, label smoothing.

    `balanced`: validation is the mean of the classes' accuracies, so that a rare class counts like a frequent one.
    """

    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    crop_padding: int = 0
    flip: bool = False
    balanced: bool = False

    @classmethod
    def of(cls, config: SearchConfig, data: ImageData) -> Recipe:
        """The recipe a configuration asks for; augmentation is the data set's own unless it says otherwise."""
        return cls(
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            label_smoothing=config.label_smoothing,
            crop_padding=data.crop_padding if config.crop_padding is None else config.crop_padding,
            flip=data.flip if config.flip is None else config.flip,
            balanced=config.reward == "balanced",
        )


def train(network: nn.Module, data: ImageData, *, budget: Budget, recipe: Recipe, seed: int) -> None:
    """Train in place on the sum of the heads' cross-entropies; the network and the images share a device.

    An epoch is one pass in a fresh order, cut into equal batches of at most `batch_size` images (equal, because batch
    norm cannot bear a last batch of one). Raises Diverged when an epoch's loss is not finite.
    """
    images_NCHW, labels_N = data.train_images, data.train_labels
    device = images_NCHW.device
    generator = torch.Generator(device).manual_seed(seed)
    steps = math.ceil(len(labels_N) / recipe.batch_size)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0.0,
    )
    total_steps = steps * budget.epochs + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.learning_rate,
        total_steps=total_steps,
        # A warm-up of exactly one step makes OneCycleLR divide by zero; that is three steps in all.
        pct_start=0.25 if total_steps != 4 else 0.5,
        anneal_strategy="linear",
        cycle_momentum=False,
    )
    network.train()
    for _ in range(budget.epochs):
        epoch_loss = torch.zeros((), device=device)
        for index_B in torch.randperm(len(labels_N), generator=generator, device=device).tensor_split(steps):
            batch_BCHW = augment(
                images_NCHW[index_B], crop_padding=recipe.crop_padding, flip=recipe.flip, generator=generator
            )
            loss = _loss(network, batch_BCHW, labels_N[index_B], data, recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            epoch_loss += loss.detach()
        if not math.isfinite(float(epoch_loss)):
            raise Diverged(f"the training loss became {float(epoch_loss)}")


@torch.no_grad()
def validation_accuracies(network: nn.Module, data: ImageData, *, balanced: bool = False) -> list[float]:
    """The share of validation images that each head classifies rightly, all heads in one pass; T fractions.

    `balanced`: the mean over the classes of that share within each class that has validation images.
    """
    network.eval()
    right: list[Tensor] = []
    for start in range(0, len(data.val_labels), EVALUATION_BATCH):
        batch = slice(start, start + EVALUATION_BATCH)
        logits, labels_B = _forward(network, data.val_images[batch], data), data.val_labels[batch]
        right.append(torch.stack([logits_BK.argmax(dim=1) == labels_B for logits_BK in logits]))
    right_TN = torch.cat(right, dim=1)
    if not balanced:
        return [count / len(data.val_labels) for count in right_TN.sum(dim=1).tolist()]
    members_KN = torch.arange(data.num_classes, device=right_TN.device)[:, None] == data.val_labels
    shares_TK = (right_TN[:, None] & members_KN).sum(dim=2).double() / members_KN.sum(dim=1)
    shares: list[float] = shares_TK.nanmean(dim=1).tolist()
    return shares


def _forward(network: nn.Module, images_BCHW: Tensor, data: ImageData) -> list[Tensor]:
    device = images_BCHW.device
    inputs_BCHW = normalise(images_BCHW, data.mean, data.std, torch.float32)
    if device.type == "cuda":
        inputs_BCHW = inputs_BCHW.contiguous(memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        logits: list[Tensor] = network(inputs_BCHW)
    return logits


def _loss(network: nn.Module, images_BCHW: Tensor, labels_B: Tensor, data: ImageData, smoothing: float) -> Tensor:
    losses = [
        functional.cross_entropy(logits_BK.float(), labels_B, label_smoothing=smoothing)
        for logits_BK in _forward(network, images_BCHW, data)
    ]
    return torch.stack(losses).sum()
