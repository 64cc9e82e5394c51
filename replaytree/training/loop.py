"""The training loop: one network with T heads on images that lie on the device.

Shapes: N training images, B images a batch, C channels, H rows, W columns, K classes, T heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from replaytree.config import Budget, SearchConfig
from replaytree.data import ImageData, augment, normalise
from replaytree.networks.trie import DISCOUNT
from replaytree.space.trie import HEAD_HIDDEN
from replaytree.training.step import Step, logits_of
from replaytree.training.threads import using

# Images are augmented and normalised for several batches at once, up to this many numbers: 16 MiB.
NUMBERS_AT_ONCE = 2**22


class Diverged(Exception):
    """The loss of a training is not finite: an outcome, not a fault. `heads` had such a loss first."""

    def __init__(self, text: str, heads: tuple[int, ...]) -> None:
        super().__init__(text)
        self.heads = heads


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: SGD with Nesterov momentum, one-cycle schedule, label smoothing.

    `balanced`: validation is the mean of the classes' accuracies, so that a rare class counts like a frequent one.
    `capture`: on a GPU, the training step is captured in a CUDA graph. `discount`: how much of a head's gradient each
    layer of a joint training passes on to the one before it (network.DISCOUNT). `hidden`: units a
    channel in the hidden layers of its heads (HEAD_HIDDEN).
    """

    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    crop_padding: int = 0
    flip: bool = False
    balanced: bool = False
    capture: bool = True
    discount: float = DISCOUNT
    hidden: int = HEAD_HIDDEN

    @classmethod
    def of(cls, config: SearchConfig, data: ImageData) -> Recipe:
        """The recipe a configuration asks for; augmentation is the data set's own unless it says otherwise."""
        return cls(
            batch_size=config.recipe.batch_size,
            learning_rate=config.recipe.learning_rate,
            momentum=config.recipe.momentum,
            weight_decay=config.recipe.weight_decay,
            label_smoothing=config.recipe.label_smoothing,
            crop_padding=data.crop_padding if config.recipe.crop_padding is None else config.recipe.crop_padding,
            flip=data.flip if config.recipe.flip is None else config.recipe.flip,
            balanced=config.objective.reward == "balanced",
            capture=config.machine.capture,
        )


class Training:
    """One network in training, in place, on the sum of its heads' cross-entropies, on the device of the images.

    An epoch is one pass in a fresh order, cut into equal batches of at most `batch_size` images; the first images of
    the order fill the last batch up (equal, because batch norm cannot bear a last batch of one, and because a captured
    step takes one size). Nothing waits for the device inside an epoch. `threads` is asked at the beginning of each.
    """

    def __init__(
        self,
        network: nn.Module,
        data: ImageData,
        *,
        budget: Budget,
        recipe: Recipe,
        seed: int,
        threads: Callable[[], int] = torch.get_num_threads,
    ) -> None:
        self._network = network
        self._data = data
        self._recipe = recipe
        self._threads = threads
        device = data.train_images.device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._steps = math.ceil(len(data.train_labels) / recipe.batch_size)
        total_steps = self._steps * budget.epochs + 1
        optimizer = torch.optim.SGD(
            network.parameters(),
            # A captured step reads the rate from the device; a number would be captured as it was.
            lr=torch.tensor(recipe.learning_rate, device=device) if device.type == "cuda" else recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0.0,
            # 0.2 ms a step against 1.3 for ten layers on a CPU.
            fused=True,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=recipe.learning_rate,
            total_steps=total_steps,
            # A warm-up of exactly one step makes OneCycleLR divide by zero; that is three steps in all.
            pct_start=0.25 if total_steps != 4 else 0.5,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        self._step = Step(network, optimizer, label_smoothing=recipe.label_smoothing, capture=recipe.capture)
        self.epoch = 0

    def run(self, *, until: int) -> None:
        """Train until this many epochs are done. Raises Diverged when a loss of an epoch is not finite."""
        self._network.train()
        while self.epoch < until:
            self._step.begin()
            with using(self._threads()):
                for inputs_BCHW, labels_B in self._batches():
                    self._step(inputs_BCHW, labels_B)
                    self._schedule.step()
            self.epoch += 1
            losses = self._step.losses()
            if not all(map(math.isfinite, losses)):
                raise Diverged(
                    f"the training loss became {sum(losses)} in epoch {self.epoch}", self._step.first_to_fail()
                )

    def validate(self) -> list[float]:
        """The validation accuracy of each head as it is now."""
        with using(self._threads()):
            return validation_accuracies(self._network, self._data, recipe=self._recipe)

    def network_changed(self) -> None:
        """To be called when the network has lost layers. The optimiser skips parameters without a gradient."""
        self._step.reset()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch: inputs (B, C, H, W) and labels (B,)."""
        data, recipe, generator = self._data, self._recipe, self._generator
        images_NCHW, labels_N = data.train_images, data.train_labels
        order_N = torch.randperm(len(labels_N), generator=generator, device=images_NCHW.device)
        batch = math.ceil(len(labels_N) / self._steps)
        order_N = torch.cat([order_N, order_N[: batch * self._steps - len(labels_N)]])
        batches_at_once = max(1, NUMBERS_AT_ONCE // (batch * images_NCHW[0].numel()))
        for index_N in torch.split(order_N, batches_at_once * batch):
            chunk_NCHW = augment(
                images_NCHW[index_N], crop_padding=recipe.crop_padding, flip=recipe.flip, generator=generator
            )
            inputs_NCHW = _inputs(chunk_NCHW, data)
            yield from zip(torch.split(inputs_NCHW, batch), torch.split(labels_N[index_N], batch), strict=True)


def train(
    network: nn.Module,
    data: ImageData,
    *,
    budget: Budget,
    recipe: Recipe,
    seed: int,
    threads: Callable[[], int] = torch.get_num_threads,
) -> None:
    """A Training from beginning to end. Raises Diverged."""
    Training(network, data, budget=budget, recipe=recipe, seed=seed, threads=threads).run(until=budget.epochs)


@torch.no_grad()
def validation_accuracies(network: nn.Module, data: ImageData, *, recipe: Recipe) -> list[float]:
    """The share of validation images that each head classifies rightly, all heads in one pass; T fractions.

    `recipe.balanced`: the mean over the classes of that share within each class that has validation images.
    """
    network.eval()
    right: list[Tensor] = []
    # Twice the training batch: what evaluation needs for an image is less than half of what training keeps of it.
    size = 2 * recipe.batch_size
    for images_BCHW, labels_B in zip(
        torch.split(data.val_images, size), torch.split(data.val_labels, size), strict=True
    ):
        right.append(logits_of(network, _inputs(images_BCHW, data)).argmax(dim=2) == labels_B)
    right_TN = torch.cat(right, dim=1)
    if not recipe.balanced:
        return [count / len(data.val_labels) for count in right_TN.sum(dim=1).tolist()]
    members_KN = torch.arange(data.num_classes, device=right_TN.device)[:, None] == data.val_labels
    shares_TK = (right_TN[:, None] & members_KN).sum(dim=2).double() / members_KN.sum(dim=1)
    shares: list[float] = shares_TK.nanmean(dim=1).tolist()
    return shares


def _inputs(images_BCHW: Tensor, data: ImageData) -> Tensor:
    inputs_BCHW = normalise(images_BCHW, data.mean, data.std, torch.float32)
    return inputs_BCHW.contiguous(memory_format=torch.channels_last)
