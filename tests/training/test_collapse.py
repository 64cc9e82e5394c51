"""Rules that end a search which collapses."""

import pytest
import torch

from replaytree.training.collapse import collapsed_at, largest_eigenvalue


def test_a_rise_of_the_average_by_more_than_the_factor():
    # The averages of 5 epochs: 1 at epoch 11, of epochs 9 to 13; at epoch 15, of 13 to 17, (1 + 4 x) / 5.
    for last, expected in ((1.37, None), (1.38, 11)):
        assert collapsed_at([1.0] * 13 + [last] * 4) == expected


def test_nothing_is_said_before_the_first_epoch():
    # 16 epochs: the last average is of epoch 14, and epoch 10 comes before the eleventh.
    assert collapsed_at([1.0] * 12 + [9.0] * 4) is None
    assert collapsed_at([1.0] * 12 + [9.0] * 5) == 11
    assert collapsed_at([]) is None


def test_only_the_last_average_counts():
    risen = [1.0] * 13 + [2.0] * 4
    assert collapsed_at(risen) == 11
    assert collapsed_at([*risen, 0.0, 0.0]) is None


def test_a_sequence_as_the_published_tracker_takes_it():
    # What EVLocalAvg of RobustDARTS' script, with a value an epoch, says after each: its epochs 11 and 12, from 0.
    eigenvalues = [
        0.11, 0.14, 0.12, 0.15, 0.13, 0.16, 0.15, 0.14, 0.17, 0.16, 0.15, 0.18, 0.17, 0.19, 0.20, 0.24, 0.22, 0.27,
        0.25, 0.21, 0.16, 0.30,
    ]  # fmt: skip
    found = {number: collapsed_at(eigenvalues[:number]) for number in range(len(eigenvalues) + 1)}
    # Epoch 16 against 12: (0.19 + 0.2 + 0.24 + 0.22 + 0.27) / (0.16 + 0.15 + 0.18 + 0.17 + 0.19) is 1.318; then 1.326.
    assert {number: epoch for number, epoch in found.items() if epoch is not None} == {18: 12, 19: 13}


def test_without_a_positive_average_nothing_has_risen():
    assert collapsed_at([-1.0] * 13 + [3.0] * 4) is None


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
