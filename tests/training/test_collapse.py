"""Rules that end a search which collapses."""

import pytest
import torch

from replaytree.training.collapse import collapsed_at, largest_eigenvalue


def test_a_rise_of_the_average_by_more_than_the_factor():
    # The averages of 5 epochs: 1 at epoch 10, of epochs 8 to 12; at epoch 14, of 12 to 16, (1 + 4 x) / 5.
    for last, expected in ((1.37, None), (1.38, 10)):
        assert collapsed_at([1.0] * 12 + [last] * 4) == expected


def test_nothing_is_said_before_the_first_epoch():
    # 15 epochs: the last average is of epoch 13, and epoch 9 comes before the tenth.
    assert collapsed_at([1.0] * 11 + [9.0] * 4) is None
    assert collapsed_at([1.0] * 11 + [9.0] * 5) == 10
    assert collapsed_at([]) is None


def test_only_the_last_average_counts():
    risen = [1.0] * 12 + [2.0] * 4
    assert collapsed_at(risen) == 10
    assert collapsed_at([*risen, 0.0, 0.0]) is None


def test_without_a_positive_average_nothing_has_risen():
    assert collapsed_at([-1.0] * 12 + [3.0] * 4) is None


def test_other_windows():
    # Averages of single epochs: 2 against 1, two epochs before.
    assert collapsed_at([1.0, 1.0, 2.0], window=1, look_back=2, first=1, factor=1.9) == 1
    assert collapsed_at([1.0, 1.0, 2.0], window=1, look_back=2, first=2, factor=1.9) is None
    # An average needs all of its epochs: epoch 2 has none before it.
    assert collapsed_at([1.0, 1.0, 9.0, 9.0], window=5, look_back=1, first=1) is None


@pytest.mark.parametrize(("largest", "others"), [(5.0, (1.0, -2.0)), (2.0, (-5.0, -1.0)), (-1.0, (-5.0, -4.0))])
def test_the_largest_eigenvalue(largest, others):
    torch.manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    H = basis @ torch.diag(torch.tensor([largest, *others], dtype=torch.float64)) @ basis.T
    parts = [
        torch.zeros(2, dtype=torch.float64, requires_grad=True),
        torch.zeros(1, dtype=torch.float64, requires_grad=True),
    ]

    def loss():
        x = torch.cat(parts)
        return x @ H @ x / 2.0 + x.sum()

    assert largest_eigenvalue(loss, parts, seed=0) == pytest.approx(largest, rel=2e-2)


def test_a_loss_without_curvature():
    x = torch.zeros(3, requires_grad=True)
    assert largest_eigenvalue(lambda: (x * 1.0).sum() + 0.0 * x.square().sum(), [x], seed=0) == 0.0
