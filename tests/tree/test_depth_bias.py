from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.errors import ConfigError
from replaytree.tree import Bias, Pair, estimate, most_telling_depth
from replaytree.tree.depth_bias import PRIOR_DEVIATION

DEPTHS = [(depth, 8) for depth in range(1, 9)]
ACCURACY = st.floats(0.0, 1.0)
PAIRS = st.lists(st.builds(Pair, st.integers(1, 15), st.sampled_from([4, 6, 8]), ACCURACY, ACCURACY), max_size=12)


def test_without_separate_trainings_the_bias_is_0_and_as_uncertain_as_the_prior():
    # k((d, e), (d, e)) = 1 + log2 d, in units of the prior's variance.
    assert estimate([], [(1, 8), (8, 8)]) == [Bias(0.0, PRIOR_DEVIATION), Bias(0.0, 2 * PRIOR_DEVIATION)]


def test_one_pair_by_hand():
    # At depth 1 the prior weighs as much as the pair: half of 0.5 - 0.25, and so at any depth beyond; half the
    # covariance at half the epochs. s^2 = (2 * 0.05^2 + 0.25^2 / 2) / 3.
    found = estimate([Pair(1, 8, 0.5, 0.25)], [(1, 8), (2, 8), (1, 4)])
    variance = (2 * 0.05**2 + 0.25**2 / 2) / 3
    assert [bias.value for bias in found] == pytest.approx([0.125, 0.125, 0.0625])
    assert [bias.deviation for bias in found] == pytest.approx(
        [math.sqrt(variance * left) for left in (1 - 1 / 2, 2 - 1 / 2, 1 - 1 / 8)]
    )


def test_two_pairs_of_one_depth_by_hand():
    # The mean of both, and the prior's one pair that saw nothing: (0.25 + 0.5) / 3.
    [found] = estimate([Pair(1, 8, 0.5, 0.25), Pair(1, 8, 0.75, 0.25)], [(1, 8)])
    assert found.value == pytest.approx(0.25)


def test_many_pairs_leave_their_mean():
    pairs = [Pair(depth, 8, 0.5 + 0.01 * depth, 0.5) for depth in range(1, 9) for _ in range(500)]
    for depth, bias in enumerate(estimate(pairs, DEPTHS), start=1):
        assert bias.value == pytest.approx(0.01 * depth, abs=1e-3)
        assert bias.deviation < 0.005


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    for one, other in zip(estimate(pairs, DEPTHS), estimate(shuffled, DEPTHS), strict=True):
        assert (one.value, one.deviation) == pytest.approx((other.value, other.deviation), abs=1e-9)


@given(st.integers(1, 15), st.floats(-0.5, 0.5), st.integers(1, 5))
def test_a_bias_seen_at_one_depth_is_shrunk_to_0(depth, bias, count):
    pairs = [Pair(depth, 8, 0.5 + bias, 0.5)] * count
    for found in estimate(pairs, DEPTHS):
        assert abs(found.value) <= abs(bias) + 1e-12
        assert found.value * bias >= 0.0


@given(PAIRS, st.builds(Pair, st.integers(1, 15), st.just(8), ACCURACY, ACCURACY))
def test_another_pair_leaves_no_depth_less_certain_in_units_of_the_noise(pairs, another):
    def spreads(pairs):
        # Deviations without the noise's scale, which an unexpected pair may raise.
        flat = [Pair(pair.depth, pair.epochs, 0.5, 0.5) for pair in pairs]
        scale = math.sqrt(2 / (2 + len(flat)))
        return [bias.deviation / scale for bias in estimate(flat, DEPTHS)]

    assert all(after <= before + 1e-9 for before, after in zip(spreads(pairs), spreads([*pairs, another]), strict=True))


def test_the_first_depth_to_tell_of_by_hand():
    # Two depths, cov = [[1, 1], [1, 2]]: a pair at 1 takes (1 + 1) / 2 = 1, one at 2 (1 + 4) / 3 = 5 / 3.
    assert most_telling_depth([], [1.0, 1.0], epochs=8) == 2
    assert most_telling_depth([], [1.0, 1.6], epochs=8) == 2
    assert most_telling_depth([], [1.0, 1.7], epochs=8) == 1
    assert most_telling_depth([], [1.0, 1.7], epochs=8, beyond=1) == 2


def test_depths_are_spread():
    measured = []
    for _ in range(30):
        measured.append((most_telling_depth(measured, [1.0] * 15, epochs=8), 8))
    depths = [depth for depth, _ in measured]
    assert {1, 15} & set(depths)
    assert max(depths) - min(depths) >= 10
    assert len(set(depths)) >= 8


def test_a_depth_without_a_cost():
    with pytest.raises(ConfigError, match=r"costs are \[1.0, 0.0\]; give one number over 0 for each depth"):
        most_telling_depth([], [1.0, 0.0], epochs=8)
