import numpy as np
import pytest

from replaytree.policy.normal_scores import LEAST_DEVIATION, NormalScores

# Quantiles 1/6, 1/2, 5/6 of the normal distribution.
LOW, HIGH = -0.967422, 0.967422


def test_scores_are_the_quantiles_of_the_ranks():
    scores = NormalScores(np.array([0.3, 7.0, 0.2])).scores(np.array([0.2, 0.3, 7.0]))
    np.testing.assert_allclose(scores, [LOW, 0.0, HIGH], atol=1e-6)


def test_equal_values_share_the_middle_of_their_ranks():
    # Of four values the two in the middle have ranks 2 and 3, so quantile (2.5 - 0.5) / 4 = 1/2.
    scores = NormalScores(np.array([1.0, 2.0, 2.0, 3.0])).scores(np.array([2.0]))
    np.testing.assert_allclose(scores, [0.0], atol=1e-12)


def test_scores_do_not_change_with_the_scale_of_the_values():
    values = np.array([0.1, 0.4, 0.5, 0.9])
    np.testing.assert_allclose(NormalScores(values).scores(values), NormalScores(values**3).scores(values**3))


def test_values_are_read_back():
    values = np.array([0.1, 0.4, 0.5, 0.9, 0.9])
    map_ = NormalScores(values)
    every = np.linspace(-1.0, 2.0, 50)
    np.testing.assert_allclose(map_.values(map_.scores(every)), every)
    assert (np.diff(map_.scores(every)) > 0.0).all()


def test_beyond_the_values_a_score_is_a_standard_deviation():
    values = np.array([0.0, 2.0])  # of deviation 1, their scores the quantiles 1/4 and 3/4
    above = NormalScores(values).values(np.array([0.674490 + 1.5]))
    np.testing.assert_allclose(above, [3.5], atol=1e-5)


def test_one_value_has_score_0_and_none_is_the_identity():
    one = NormalScores(np.array([0.7]))
    assert one.scores(np.array([0.7])) == pytest.approx(0.0)
    assert one.values(np.array([1.0])) == pytest.approx(0.7 + LEAST_DEVIATION)
    assert NormalScores(np.empty(0)).values(np.array([0.3])) == pytest.approx(0.3)
