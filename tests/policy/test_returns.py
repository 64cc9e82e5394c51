import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.policy.returns import (
    RETURNS,
    average_baseline,
    averaged,
    best_reached,
    cumulative,
    final,
    importance_weights,
    marginal_gain,
    reward_to_go,
)

REWARDS = np.array([0.5, 0.75, 0.25])
paths = st.lists(st.floats(0, 1), min_size=1, max_size=15).map(np.array)


def test_values_worked_out_by_hand():
    # G_1 = 0.5; G_2 = 0.75 + 0.5 * 0.5; G_3 = 0.25 + 0.5 * 1.0
    np.testing.assert_array_equal(cumulative(REWARDS, 0.5), [0.5, 1.0, 0.75])
    # G_3 = 0.25; G_2 = 0.75 + 0.125; G_1 = 0.5 + 0.4375
    np.testing.assert_array_equal(reward_to_go(REWARDS, 0.5), [0.9375, 0.875, 0.25])
    np.testing.assert_array_equal(best_reached(REWARDS, 0.5), [0.75, 0.75, 0.25])
    np.testing.assert_array_equal(marginal_gain(REWARDS, 0.5), [0.5, 0.25, -0.5])
    np.testing.assert_array_equal(final(REWARDS, 0.5), [0.25, 0.25, 0.25])


@given(paths)
def test_gamma_0_gives_the_plain_rewards(rewards):
    np.testing.assert_array_equal(cumulative(rewards, 0.0), rewards)
    np.testing.assert_array_equal(reward_to_go(rewards, 0.0), rewards)


@given(paths, st.floats(0, 1))
def test_a_path_of_one_layer_is_a_bandit(rewards, gamma):
    for returns in RETURNS.values():
        np.testing.assert_array_equal(returns(rewards[:1], gamma), rewards[:1])


@given(paths)
def test_gamma_1_adds_up(rewards):
    np.testing.assert_allclose(cumulative(rewards, 1.0), np.cumsum(rewards))


@given(paths, st.floats(0, 1))
def test_a_cumulative_return_does_not_see_the_future(rewards, gamma):
    for t in range(1, len(rewards) + 1):
        np.testing.assert_array_equal(cumulative(rewards[:t], gamma), cumulative(rewards, gamma)[:t])


def test_the_baseline_is_the_average_of_earlier_paths_at_each_depth():
    mean, count = np.zeros(3), np.zeros(3)
    np.testing.assert_array_equal(average_baseline(np.array([1.0, 2.0]), mean, count), [1.0, 2.0])
    mean, count = averaged(np.array([1.0, 2.0]), mean, count)
    mean, count = averaged(np.array([2.0]), mean, count)
    np.testing.assert_array_equal(mean, [1.5, 2.0, 0.0])
    np.testing.assert_array_equal(count, [2, 1, 0])
    np.testing.assert_array_equal(average_baseline(np.array([2.0, 1.0, 9.0]), mean, count), [1.5, 2.0, 9.0])


@given(st.lists(st.floats(0, 15), min_size=1, max_size=20))
def test_the_iterative_average_is_the_average(values):
    mean, count = np.zeros(1), np.zeros(1)
    for value in values:
        mean, count = averaged(np.array([value]), mean, count)
    assert count[0] == len(values)
    assert mean[0] == pytest.approx(np.mean(values))


def test_importance_weights_are_truncated():
    weights = importance_weights(np.array([0.5, 0.1, 0.9]), np.array([0.5, 0.4, 0.1]), rho_bar=1.5)
    np.testing.assert_allclose(weights, [1.0, 0.25, 1.5])


def test_a_behaviour_of_probability_0_is_refused():
    with pytest.raises(ValueError, match=r"must be positive, got 0\.0"):
        importance_weights(np.array([0.5]), np.array([0.0]), rho_bar=1.0)
