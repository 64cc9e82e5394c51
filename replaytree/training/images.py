"""Training on images: batches in a fresh order, augmented on the device, and accuracies.

Shapes: N images, B images a batch, C channels, H rows, W columns, K classes, T heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from replaytree.data import ImageData, augment, cutout, normalise
from replaytree.data.transforms import transformed
from replaytree.training.baton import hand_on
from replaytree.training.precision import Precision
from replaytree.training.recipe import Recipe
from replaytree.training.rewards import head_rewards
from replaytree.training.step import logits_of

# Images are augmented and normalised for several batches at once, up to this many numbers: 16 MiB, and 64 MiB on a
# GPU, where what counts is the number of kernels: for CIFAR-10 in batches of 512 those of 10 chunks, not of 49.
NUMBERS_AT_ONCE, GPU_NUMBERS_AT_ONCE = 2**22, 2**24
# Fewer small images leave a GPU idle in validation.
GPU_VALIDATION = 1000


class ImageExamples:
    """Images as a training reads them.

    An epoch is one pass in a fresh order, cut into equal batches of at most `batch_size` images; the first images of
    the order fill the last batch up (equal, because batch norm cannot bear a last batch of one, and because a captured
    step takes one size).
    """

    def __init__(self, data: ImageData, recipe: Recipe, *, draws: torch.Generator | None = None) -> None:
        self._data = data
        self._recipe = recipe
        self._mirrored_N = None
        if recipe.flip and recipe.alternate_flip:
            assert draws is not None, "which images are mirrored first is drawn"
            halves_N = torch.randint(2, (len(data.train_labels),), generator=draws, device=draws.device)
            self._mirrored_N = halves_N.bool().to(data.device)

    @property
    def epoch_steps(self) -> int:
        """The steps of an epoch."""
        return epoch_steps(self._data, self._recipe)

    def placed(self, network: nn.Module) -> nn.Module:
        """The network on the device of the images, in the layout in which convolutions are fastest.

        That is a third faster at 16x16, also on a CPU.
        """
        return network.to(self._data.device).to(memory_format=torch.channels_last)

    def batches(self, *, generator: torch.Generator, first: int = 0, epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: inputs (B, C, H, W) and labels (B,). The order is fresh, so `first` says nothing."""
        mirrored_N = self._mirrored_N
        if mirrored_N is not None and epoch % 2:
            mirrored_N = ~mirrored_N
        return epoch_batches(self._data, self._recipe, generator=generator, mirrored_N=mirrored_N)

    def pieces(self, inputs: Tensor, labels_B: Tensor, number: int) -> list[tuple[Tensor, Tensor]]:
        """A batch in so many parts."""
        return list(zip(torch.tensor_split(inputs, number), torch.tensor_split(labels_B, number), strict=True))

    def validated(self, network: nn.Module) -> list[float]:
        """The validation accuracy of each head."""
        return validation_accuracies(network, self._data, recipe=self._recipe)

    def held_out(self, *, seed: int, few: int | None = None) -> Tensor:
        """Indices of validation images (N), in random order: a batch of one class has statistics of its own."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randperm(self._data.val_count, generator=generator)[:few].to(self._data.device)

    @torch.no_grad()
    def scores(self, network: nn.Module, held_out: Tensor, *, batch_size: int) -> list[float]:
        """The accuracy of each head on these validation images, in batches of equal size."""
        data = self._data
        precision = Precision.unscaled(data.device)
        answers: list[Tensor] = []
        for part_B in torch.tensor_split(held_out, math.ceil(len(held_out) / batch_size)):
            logits_TBK = logits_of(network, inputs_of(data.val_images[part_B], data), precision)
            answers.append(logits_TBK.argmax(dim=2))
        return head_rewards(
            torch.cat(answers, dim=1),
            data.val_labels[held_out],
            num_classes=data.num_classes,
            reward=self._recipe.reward,
        )


def epoch_steps(data: ImageData, recipe: Recipe) -> int:
    """The steps of a pass over the training images."""
    return math.ceil(len(data.train_labels) / recipe.batch_size)


def epoch_batches(
    data: ImageData, recipe: Recipe, *, generator: torch.Generator, mirrored_N: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one pass over the training images in a fresh order: inputs (B, C, H, W) and labels (B,).

    `mirrored_N` says which images are mirrored, where the recipe does not leave that to chance.
    """
    images_NCHW, labels_N = data.train_images, data.train_labels
    steps = epoch_steps(data, recipe)
    order_N = torch.randperm(len(labels_N), generator=generator, device=images_NCHW.device)
    batch = math.ceil(len(labels_N) / steps)
    order_N = torch.cat([order_N, order_N[: batch * steps - len(labels_N)]])
    at_once = batches_at_once(batch, image=images_NCHW[0].numel(), device=data.device)
    for index_N in torch.split(order_N, at_once * batch):
        chunk_NCHW = augment(
            images_NCHW[index_N],
            crop_padding=recipe.crop_padding,
            flip=recipe.flip if mirrored_N is None else mirrored_N[index_N],
            generator=generator,
            padding=recipe.padding,
        )
        chunk_NCHW = cutout(chunk_NCHW, size=recipe.cutout, fill=data.mean, generator=generator)
        if data.transforms is not None:
            # A batch at a time: they draw once a call.
            chunk_NCHW = torch.cat(
                [
                    transformed(part_BCHW, data.transforms, generator=generator)
                    for part_BCHW in torch.split(chunk_NCHW, batch)
                ]
            )
        inputs_NCHW = inputs_of(chunk_NCHW, data)
        yield from zip(torch.split(inputs_NCHW, batch), torch.split(labels_N[index_N], batch), strict=True)


@torch.no_grad()
def validation_accuracies(network: nn.Module, data: ImageData, *, recipe: Recipe) -> list[float]:
    """The accuracy of each head on the validation images, all heads in one pass; T fractions (rewards.py)."""
    network.eval()
    size = validation_batch(recipe.batch_size, image=data.val_images[:1].numel(), device=data.device)
    answers = [
        logits_of(network, inputs_of(images_BCHW, data)).argmax(dim=2)
        for images_BCHW in torch.split(data.val_images, size)
    ]
    answers_TN = torch.cat(answers, dim=1)
    # What follows waits for the device.
    hand_on()
    return head_rewards(answers_TN, data.val_labels, num_classes=data.num_classes, reward=recipe.reward)


def batches_at_once(batch: int, *, image: int, device: torch.device) -> int:
    """How many batches of images of so many numbers are augmented at once."""
    return max(1, (GPU_NUMBERS_AT_ONCE if device.type == "cuda" else NUMBERS_AT_ONCE) // (batch * image))


def validation_batch(batch: int, *, image: int, device: torch.device) -> int:
    """How many images are evaluated at once where `batch` are trained on, each of so many numbers.

    Twice as many: what evaluation needs for an image is less than half of what training keeps of it. On a GPU 1,000 if
    images are small, but never more than 4 times the batch, which may be as small as it is for want of memory.
    """
    if device.type != "cuda":
        return 2 * batch
    return max(2 * batch, min(GPU_VALIDATION, 4 * batch, NUMBERS_AT_ONCE // max(1, image)))


def inputs_of(images_BCHW: Tensor, data: ImageData) -> Tensor:
    """Images as networks read them: normalised, in the layout in which convolutions are fastest."""
    # The layout is changed while a number is a byte.
    return normalise(images_BCHW.contiguous(memory_format=torch.channels_last), data.mean, data.std, torch.float32)
