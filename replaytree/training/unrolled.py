"""The gradient of a validation loss through one step of the weights: DARTS of second order (Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# The difference quotient moves the weights by so much in all.
SCALE = 0.01

Loss = Callable[[], Tensor]


def unrolled_gradient(
    training: Loss,
    validation: Loss,
    numbers: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    step: Callable[[int, Tensor], Tensor],
    rate: float,
    scale: float = SCALE,
) -> list[Tensor]:
    """d/da L_val(w - rate step(grad_w L_train(w, a)), a), one tensor for each of the numbers a.

    It is grad_a L_val(w', a) - rate (grad_a L_train(w+, a) - grad_a L_train(w-, a)) / (2 e), with w' the weights after
    the step, v = grad_w' L_val(w', a), e = scale / |v| and w+- = w +- e v: a difference quotient in place of the
    product of v with the mixed second derivatives. `step(place, gradient)` is the direction of the step of a weight:
    the gradient with momentum and decay. Its derivative in the gradient is taken as 1, as the authors do.

    The losses read numbers and weights as they are; afterwards both are, to the bit, what they were.
    """
    before = [weight.detach().clone() for weight in weights]
    gradients = _gradients(training(), weights)
    try:
        with torch.no_grad():
            for place, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
                weight.sub_(step(place, gradient), alpha=rate)
        direct = _gradients(validation(), [*numbers, *weights])
        own, vector = direct[: len(numbers)], direct[len(numbers) :]
        length = torch.nn.utils.get_total_norm(vector)
        if not length > 0.0:
            return own
        e = scale / length
        sides = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for weight, start, direction in zip(weights, before, vector, strict=True):
                    weight.copy_(start + sign * e * direction)
            sides.append(_gradients(training(), numbers))
    finally:
        with torch.no_grad():
            for weight, start in zip(weights, before, strict=True):
                weight.copy_(start)
    return [mine - rate * (plus - minus) / (2.0 * e) for mine, plus, minus in zip(own, *sides, strict=True)]


def _gradients(loss: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of a loss in each tensor; zeros where it does not depend on it."""
    found = torch.autograd.grad(loss, list(of), allow_unused=True)
    return [torch.zeros_like(each) if own is None else own for each, own in zip(of, found, strict=True)]
