import pytest
import torch
from torch import nn

from replaytree.training.averaging import WeightAverage, average_decay


def test_the_decay_by_hand():
    assert average_decay(0, 1000, share=0.02) == 0.0
    assert average_decay(3, 1000, share=0.02) == 0.5
    assert average_decay(999, 1000, share=0.02) == pytest.approx(1 - 1 / 20)
    assert average_decay(999, 1000, share=0.0) == 0.0


def test_an_average_by_hand():
    network = nn.BatchNorm1d(1)
    average = WeightAverage(network, share=0.5, steps=8)
    found = []
    for step, value in enumerate([1.0, 4.0, 7.0, 8.0]):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(-value)
            network.num_batches_tracked.fill_(step)
        average.update(step)
        found.append([average.network.weight.item(), average.network.running_mean.item()])
        assert int(average.network.num_batches_tracked) == step
    # The horizons are 1, 1, 1.5 and 2 steps: 4 + (7 - 4) * 2 / 3 = 6, and 6 + (8 - 6) / 2 = 7.
    assert [v for v, _ in found] == pytest.approx([1.0, 4.0, 6.0, 7.0])
    assert [v for _, v in found] == pytest.approx([-1.0, -4.0, -6.0, -7.0])
    assert network.weight.item() == 8.0
