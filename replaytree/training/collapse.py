"""Whether a differentiable search collapses: the dominant eigenvalue of the Hessian in its numbers, and two rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor

# RobustDARTS (Zela et al., 2020): averages over 5 epochs, that of now against that of 4 epochs ago, from epoch 10 on.
WINDOW, LOOK_BACK, FIRST, FACTOR = 5, 4, 10, 1.3
# DARTS+ (Liang et al., 2019): the first number of skips in the normal cell that is too many.
MOST_SKIPS = 2

ITERATIONS = 10
TOLERANCE = 1e-2


def collapsed_at(
    eigenvalues: Sequence[float],
    *,
    window: int = WINDOW,
    look_back: int = LOOK_BACK,
    first: int = FIRST,
    factor: float = FACTOR,
) -> int | None:
    """The epoch, from 1, at which a search was still sound, where it has collapsed since; else None.

    `eigenvalues` are those after each epoch. The average of an epoch is over the `window` epochs of which it is the
    middle. Where the last one there is, of epoch m, is more than `factor` times that of epoch m - look_back, and this
    is not before `first`, then that epoch is the answer.
    """
    middle = len(eigenvalues) - window // 2
    sound = middle - look_back
    if sound < max(first, window // 2 + 1):
        return None

    def average(epoch: int) -> float:
        return fmean(eigenvalues[epoch - 1 - window // 2 : epoch + window // 2])

    return sound if average(middle) > factor * average(sound) else None


def dominant_eigenvalue(
    loss: Callable[[], Tensor], numbers: Sequence[Tensor], *, seed: int, iterations: int = ITERATIONS
) -> float:
    """The eigenvalue of largest size of the Hessian of a loss in the numbers, by power iteration.

    It ends after `iterations`, or when the value changes by less than a hundredth. 0 where the Hessian is 0.
    """
    gradients = torch.autograd.grad(loss(), list(numbers), create_graph=True)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(flat.shape, generator=generator, dtype=flat.dtype).to(flat.device)
    vector /= vector.norm()
    value = 0.0
    for _ in range(iterations):
        parts = torch.autograd.grad(flat, list(numbers), vector, retain_graph=True, allow_unused=True)
        product = torch.cat(
            [
                (torch.zeros_like(number) if part is None else part).flatten()
                for number, part in zip(numbers, parts, strict=True)
            ]
        )
        before, value = value, float(vector @ product)
        length = product.norm()
        if not length > 0.0 or abs(value - before) <= TOLERANCE * abs(value):
            break
        vector = product / length
    return value
