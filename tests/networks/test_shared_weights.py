import math

import pytest
import torch

from replaytree.networks.shared_weights import SharedWeights

CPU = torch.device("cpu")


def weights(seed=0):
    return SharedWeights(seed=seed, device=CPU)


def test_a_smaller_part_is_the_leading_part_of_a_larger_one_and_changes_with_it():
    shared = weights()
    whole, part = shared.part("a", (6, 5, 3, 3)), shared.part("a", (4, 2, 3, 3))
    assert torch.equal(part.weight, whole.weight[:4, :2])
    part.weight.add_(1.0)
    part.momentum.fill_(7.0)
    assert torch.equal(part.weight, whole.weight[:4, :2])
    assert whole.momentum[:4, :2].eq(7.0).all()
    assert whole.momentum.sum() == 7.0 * 4 * 2 * 9


def test_first_values_do_not_depend_on_what_was_asked_for_before():
    grown, at_once = weights(), weights()
    grown.part("b", (3, 3, 1, 1))
    for channels in (1, 4, 3):
        grown.part("a", (8, channels, 3, 3))
    assert grown.stale == {"a"}
    assert torch.equal(grown.part("a", (8, 4, 3, 3)).weight, at_once.part("a", (8, 4, 3, 3)).weight)


def test_what_has_grown_keeps_what_it_learned():
    shared = weights()
    small = shared.part("a", (4, 2, 3, 3))
    small.weight.fill_(5.0)
    small.momentum.fill_(6.0)
    large = shared.part("a", (4, 3, 3, 3))
    assert large.weight[:, :2].eq(5.0).all()
    assert large.momentum[:, :2].eq(6.0).all()
    assert large.momentum[:, 2].eq(0.0).all()
    assert 0.0 < large.weight[:, 2].std() < 1.0


def test_first_values_are_those_of_a_layer():
    shared = weights()
    # He's: 2 / (channels x taps) is the variance. Of a matrix: uniform within 1 / sqrt(inputs).
    kernel = shared.part("conv", (64, 64, 3, 3)).weight
    assert kernel.std().item() == pytest.approx(math.sqrt(2.0 / (64 * 9)), rel=0.02)
    assert abs(kernel.mean().item()) < 0.001
    matrix = shared.part("linear (50, 100)", (50, 100)).weight
    assert 0.099 < matrix.abs().max().item() <= 0.1
    assert shared.part("norm", (9,), constant=1.0).weight.eq(1.0).all()
    assert not torch.equal(kernel, shared.part("other", (64, 64, 3, 3)).weight)
    assert not torch.equal(kernel, weights(1).part("conv", (64, 64, 3, 3)).weight)


def test_a_state_without_its_momenta_is_refused():
    shared = weights()
    shared.part("a", (2, 2))
    state = shared.state_dict() | {"momenta": {}}
    with pytest.raises(ValueError, match="do not belong together"):
        shared.load_state_dict(state)


def test_what_is_made_for_scores_is_forgotten():
    shared = weights()
    part = shared.part("a", (4, 2, 3, 3))
    before = shared.state_dict()
    with shared.unchanged():
        shared.part("a", (4, 2, 3, 3))
    assert not shared.stale
    with shared.unchanged():
        assert shared.part("a", (4, 3, 3, 3)).weight.shape[1] == 3
        shared.part("b word", (2, 2))
    assert shared.stale == {"a", "b"}
    assert shared.state_dict()["weights"].keys() == {"a"}
    assert shared.part("a", (4, 2, 3, 3)).weight.data_ptr() == part.weight.data_ptr()
    assert before["weights"]["a"] is shared.state_dict()["weights"]["a"]
