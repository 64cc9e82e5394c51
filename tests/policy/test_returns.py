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


def test_an_update_leaves_the_baseline_given_as_it_was():
    mean, count = np.array([0.5, 0.0]), np.array([2.0, 0.0])
    averaged(np.array([0.75]), mean, count)
    np.testing.assert_array_equal(mean, [0.5, 0.0])
    np.testing.assert_array_equal(count, [2.0, 0.0])


def test_a_decay_turns_the_average_into_the_exponential_one():
    # Weights 1, max(1/2, 1/2), max(1/3, 1/2), max(1/4, 1/2): 1, 0.5, 0.75, 0.375. The plain average would be 0.5.
    mean, count, seen = np.zeros(1), np.zeros(1), []
    for value in (1.0, 0.0, 1.0, 0.0):
        mean, count = averaged(np.array([value]), mean, count, decay=0.5)
        seen.append(mean[0])
    assert seen == [1.0, 0.5, 0.75, 0.375]
    # While 1/n is over 1 - decay, it is the plain average still.
    mean, count = averaged(np.array([1.0]), np.array([0.0]), np.array([1.0]), decay=0.875)
    assert (mean[0], count[0]) == (0.5, 2.0)


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


@pytest.mark.parametrize("mu", [0.0, -0.25])
def test_a_behaviour_of_probability_0_is_refused(mu):
    with pytest.raises(ValueError, match=rf"must be positive, got {mu}"):
        importance_weights(np.array([0.5]), np.array([mu]), rho_bar=1.0)


def test_a_policy_of_negative_probability_is_refused():
    with pytest.raises(ValueError, match=r"policy probabilities must not be negative, got -0.5"):
        importance_weights(np.array([-0.5]), np.array([0.5]), rho_bar=1.0)


@pytest.mark.parametrize("rho_bar", [0.0, -1.0, float("nan")])
def test_a_bound_that_lets_nothing_through_is_refused(rho_bar):
    with pytest.raises(ValueError, match=rf"rho_bar is {rho_bar}; it must be over 0"):
        importance_weights(np.array([0.5]), np.array([0.5]), rho_bar=rho_bar)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_behaviours_of_another_length_are_refused_and_not_broadcast(length):
    with pytest.raises(ValueError, match=f"there are {length} behaviour probabilities for 3 steps"):
        importance_weights(np.full(3, 0.5), np.full(length, 0.5), rho_bar=1.0)


WRONG = [
    (np.array(0.5), r"have shape \(\); give one number a step"),
    (np.full((2, 3), 0.5), r"have shape \(2, 3\); give one number a step"),
    (np.empty(0), r"have shape \(0,\); give one number a step, of at least one step"),
    (np.array([1, 0, 1]), "are of type int64; give floats"),
    (np.array([True, False]), "are of type bool; give floats"),
    (np.array([0.5, 1j]), "are of type complex128; give floats"),
    ([0.5, 0.5, 0.5], "are a list; give a NumPy array"),
    (np.array([0.5, np.nan, 0.5]), "hold nan; give finite numbers"),
    (np.array([0.5, 0.5, -np.inf]), "hold -inf; give finite numbers"),
]


@pytest.mark.parametrize("kind", RETURNS)
@pytest.mark.parametrize(("rewards", "message"), WRONG)
def test_rewards_that_are_no_floats_a_step_are_refused(kind, rewards, message):
    with pytest.raises(ValueError, match="rewards " + message):
        RETURNS[kind](rewards, 0.5)


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_each_argument_is_checked_by_its_name(wrong, message):
    three = np.full(3, 0.5)
    for name, act in (
        ("policy probabilities", lambda: importance_weights(wrong, three, rho_bar=1.0)),
        ("behaviour probabilities", lambda: importance_weights(three, wrong, rho_bar=1.0)),
        ("returns", lambda: average_baseline(wrong, three, three)),
        ("baseline averages", lambda: average_baseline(three, wrong, three)),
        ("baseline counts", lambda: average_baseline(three, three, wrong)),
        ("returns", lambda: averaged(wrong, three, three)),
        ("baseline averages", lambda: averaged(three, wrong, three)),
        ("baseline counts", lambda: averaged(three, three, wrong)),
    ):
        with pytest.raises(ValueError, match=f"^{name} {message}"):
            act()


@pytest.mark.parametrize("use", [average_baseline, averaged])
@pytest.mark.parametrize(("averages", "counts"), [(1, 1), (2, 2), (3, 1), (4, 3)])
def test_a_baseline_is_at_least_as_long_as_the_path(use, averages, counts):
    with pytest.raises(ValueError, match=f"has {averages} averages and {counts} counts; .* a path of 3 steps"):
        use(np.full(3, 0.5), np.zeros(averages), np.zeros(counts))
