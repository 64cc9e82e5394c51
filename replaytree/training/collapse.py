"""Whether a differentiable search collapses: the largest eigenvalue of the Hessian in its numbers, and two rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor

# RobustDARTS (Zela et al., 2020): averages over 5 epochs, that of now against that of 4 epochs ago, from epoch 10 on as
# their script counts, which begins with 0.
WINDOW, LOOK_BACK, FIRST, FACTOR = 5, 4, 11, 1.3
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
    middle. Where the last one there is, of epoch m, is more than `factor` times that of epoch m - look_back, which is
    positive and not before `first`, then that epoch is the answer.
    """
    middle = len(eigenvalues) - window // 2
    sound = middle - look_back
    if sound < max(first, window // 2 + 1):
        return None

    def average(epoch: int) -> float:
        return fmean(eigenvalues[epoch - 1 - window // 2 : epoch + window // 2])

    return sound if average(middle) > factor * average(sound) > 0.0 else None


def largest_eigenvalue(
    loss: Callable[[], Tensor], numbers: Sequence[Tensor], *, seed: int, iterations: int = ITERATIONS
) -> float:
    """The largest eigenvalue of the Hessian of a loss in the numbers, by power iteration.

    That finds the one of largest size; where it is negative, it is taken off the others, and the largest of these is
    found. It ends after `iterations`, or when the value changes by less than a hundredth.
    """
    gradients = torch.autograd.grad(loss(), list(numbers), create_graph=True)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(flat.shape, generator=generator, dtype=flat.dtype).to(flat.device)

    def product(vector: Tensor) -> Tensor:
        parts = torch.autograd.grad(flat, list(numbers), vector, retain_graph=True, allow_unused=True)
        return torch.cat(
            [
                (torch.zeros_like(number) if part is None else part).flatten()
                for number, part in zip(numbers, parts, strict=True)
            ]
        )

    value = _dominant(product, start, iterations)
    if value >= 0.0:
        return value
    return value + _dominant(lambda vector: product(vector) - value * vector, start, iterations)


def _dominant(product: Callable[[Tensor], Tensor], start: Tensor, iterations: int) -> float:
    """The eigenvalue of largest size of a symmetric matrix, known by its products; 0 where these are 0."""
    vector, value = start / start.norm(), 0.0
    for _ in range(iterations):
        after = product(vector)
        before, value = value, float(vector @ after)
        length = after.norm()
        if not length > 0.0 or abs(value - before) <= TOLERANCE * abs(value):
            break
        vector = after / length
    return value
