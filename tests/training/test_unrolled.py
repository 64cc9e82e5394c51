"""The gradient of second order, against a closed form."""

import pytest
import torch

from replaytree.training.unrolled import unrolled_gradient

RATE = 0.3


def quadratics(seed=0):
    """L_train = w'Aw / 2 + a'Bw and L_val = |w - c|^2 / 2 + d'a.

    With w' = w - r (Aw + B'a), dL_val/da = d - r B (w' - c).
    """
    torch.manual_seed(seed)
    root = torch.randn(4, 4, dtype=torch.float64)
    matrices = root @ root.T / 4.0, torch.randn(3, 4, dtype=torch.float64)
    vectors = torch.randn(4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    w, a = torch.randn(4, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    return matrices, vectors, w.requires_grad_(), a.requires_grad_()


def test_the_gradient_is_that_of_the_closed_form():
    (A, B), (c, d), w, a = quadratics()
    with torch.no_grad():
        after = w - RATE * (A @ w + B.T @ a)
        expected = d - RATE * B @ (after - c)
        start = w.clone()
    [found] = unrolled_gradient(
        lambda: w @ A @ w / 2.0 + a @ B @ w,
        lambda: (w - c).square().sum() / 2.0 + d @ a,
        [a],
        [w],
        step=lambda _, gradient: gradient,
        rate=RATE,
    )
    assert float((found - expected).norm() / expected.norm()) <= 1e-4
    assert float((found - d).norm()) > 0.1, "the second term counts"
    assert torch.equal(w, start), "the weights are what they were, to the bit"


def test_momentum_and_decay_are_a_part_of_the_step():
    (A, B), (c, d), w, a = quadratics(1)
    momentum, decay = torch.ones(4, dtype=torch.float64), 0.1
    with torch.no_grad():
        after = w - RATE * (A @ w + B.T @ a + decay * w + 0.9 * momentum)
        expected = d - RATE * B @ (after - c)
    [found] = unrolled_gradient(
        lambda: w @ A @ w / 2.0 + a @ B @ w,
        lambda: (w - c).square().sum() / 2.0 + d @ a,
        [a],
        [w],
        step=lambda _, gradient: gradient + decay * w + 0.9 * momentum,
        rate=RATE,
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_without_a_rate_it_is_of_first_order():
    (A, B), (_, d), w, a = quadratics(2)
    [found] = unrolled_gradient(
        lambda: w @ A @ w + a @ B @ w, lambda: d @ a, [a], [w], step=lambda _, gradient: gradient, rate=0.0
    )
    # Nor is there a direction where validation does not depend on the weights.
    assert torch.equal(found, d)


def test_a_loss_that_fails_leaves_the_weights_as_they_were():
    (A, B), _, w, a = quadratics(3)
    start = w.detach().clone()

    def failing():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        unrolled_gradient(lambda: w @ A @ w + a @ B @ w, failing, [a], [w], step=lambda _, g: g, rate=1.0)
    assert torch.equal(w, start)
