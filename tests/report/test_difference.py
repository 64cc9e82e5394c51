"""Intervals against published and hand-worked ones."""

import math

import pytest

from replaytree.report.difference import Difference, between, over_seeds
from replaytree.report.leading import Leader
from replaytree.tree import Uncertainty


def leader(accuracy, *, images=None, noise=None):
    return Leader((0,), accuracy, 1, 4, Uncertainty(noise, images))


def test_the_example_of_newcombe():
    """56 of 70 against 48 of 80: method 10 gives 0.0524 to 0.3339 (Newcombe, 1998, table II)."""
    found = between(leader(56 / 70, images=70), leader(48 / 80, images=80))
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.sign == 1
    assert between(leader(48 / 80, images=80), leader(56 / 70, images=70)).sign == -1


@pytest.mark.parametrize(
    ("interval", "sign"), [((0.1, 0.2), 1), ((-0.2, -0.1), -1), ((-0.1, 0.2), 0), ((0.0, 0.2), 0), (None, 0)]
)
def test_the_sign_is_that_of_an_interval_without_0(interval, sign):
    assert Difference(0.15, interval).sign == sign


def test_paired_seeds_by_hand():
    # Differences 0.1, 0, 0.1: mean 0.2/3, deviation 0.057735, over sqrt(3) 1/30; t of 2 degrees 4.302653.
    found = over_seeds([leader(a) for a in (0.9, 0.8, 0.7)], [leader(a) for a in (0.8, 0.8, 0.6)], paired=True)
    assert found.value == pytest.approx(0.2 / 3)
    assert found.interval == pytest.approx((0.2 / 3 - 4.302653 / 30, 0.2 / 3 + 4.302653 / 30), abs=1e-6)


def test_other_seeds_by_hand():
    # Deviations 0.1 and 0.1 of three each: sqrt(0.02 / 3); Welch's degrees of freedom 4, t 2.776445.
    first, second = ([leader(a) for a in values] for values in ((0.9, 0.8, 0.7), (0.6, 0.5, 0.4)))
    found = over_seeds(first, second, paired=False)
    half = 2.776445 * math.sqrt(0.02 / 3)
    assert found.interval == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)


def test_no_number_of_seeds_takes_the_error_of_the_images_away():
    # Seeds that agree: what is left are the 100 images, sqrt((0.8 * 0.2 + 0.5 * 0.5) / 100) times 1.96.
    first, second = ([leader(a, images=100) for _ in range(50)] for a in (0.8, 0.5))
    half = 1.959964 * math.sqrt(0.41 / 100)
    for paired in (True, False):
        assert over_seeds(first, second, paired=paired).interval == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)


def test_one_search_against_several_has_the_widest_of_their_intervals():
    one, many = [leader(0.9, images=100)], [leader(0.5, images=100), leader(0.6, images=50)]
    found = over_seeds(one, many, paired=False)
    assert found.value == pytest.approx(0.35)
    singles = [between(one[0], other) for other in many]
    assert found.interval[0] == pytest.approx(0.35 - max(each.value - each.interval[0] for each in singles))
    assert over_seeds(one, [leader(0.5), leader(0.6)], paired=False).interval is None


def test_of_different_numbers_of_images_the_fewest_are_counted():
    found = over_seeds([leader(0.5, images=100)] * 2, [leader(0.5, images=400)] * 2, paired=True)
    # 1.96 sqrt(2 * 0.25 / 100)
    assert found.interval == pytest.approx((-0.1385904, 0.1385904), abs=1e-6)
