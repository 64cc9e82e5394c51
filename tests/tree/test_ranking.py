import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.metric import PERPLEXITY, wilson
from replaytree.tree import Node
from replaytree.tree.ranking import (
    Uncertainty,
    added_squares,
    least_average,
    rank,
    relative_squares,
    training_bound,
)

NODE = Node(
    node_id=1,
    search="s",
    path=(0,),
    labels=("a",),
    depth=1,
    action=0,
    label="a",
    output_shape=None,
    params=10,
    flops=10,
    epochs=4,
    average_accuracy=0.9,
    budget_evaluation_count=1,
    evaluation_count=1,
    visit_count=1,
)


def test_what_ranks_by_hand():
    # An error of 0.1 whose deviation is a fifth of it: after four trainings a tenth of it, 0.1 * e^0.1.
    assert training_bound(0.9, 4, noise=0.2) == pytest.approx(1 - 0.1 * math.exp(0.1))
    assert training_bound(0.9, 4, noise=0.0) == pytest.approx(0.9)
    assert training_bound(0.9, 4, noise=None) == 0.9
    assert training_bound(0.0, 1, noise=2.0) == pytest.approx(1 - math.exp(2))


def test_the_bound_rises_to_the_average_with_every_training():
    bounds = [training_bound(0.9, n, noise=0.2) for n in (1, 2, 10, 100_000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(0.9, abs=1e-4)


@given(st.floats(0, 0.999), st.integers(1, 1000), st.floats(0, 3) | st.none())
def test_the_least_average_is_the_inverse_of_what_ranks(average, count, noise):
    assert least_average(training_bound(average, count, noise=noise), count, noise=noise) == pytest.approx(average)


def test_wilson_by_hand():
    # z = 1, n = 3: (1/2 + 1/6 -+ sqrt(1/12 + 1/36)) / (4/3) = (2/3 -+ 1/3) * 3/4
    assert wilson(0.5, 3, z=1.0) == pytest.approx((0.25, 0.75))
    # z^2 = 3.8415: middle (0.5 + 0.0192) / 1.0384 = 0.5; half 1.96 sqrt(0.0025 + 0.000096) / 1.0384 = 0.0962
    assert wilson(0.5, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    assert wilson(1.0, 180) == pytest.approx((180 / (180 + 3.84146), 1.0), abs=1e-5)
    with pytest.raises(ValueError, match="n is 0"):
        wilson(0.5, 0)


@pytest.mark.parametrize(("share", "n"), [(-0.01, 3), (1.01, 3), (0.5, -1), (math.nan, 3)])
def test_wilson_of_what_is_no_share_is_refused(share, n):
    with pytest.raises(ValueError, match=rf"share is {share} and n is {n}; the share must be in \[0, 1\]"):
        wilson(share, n)


def test_squares_are_relative_to_the_error():
    # An error of a half makes a square four times itself, one of a tenth a hundred times.
    assert relative_squares(0.5, 0.25) == 1.0
    assert relative_squares(0.9, 0.25) == pytest.approx(25.0)
    # The least error is 1e-4.
    assert relative_squares(1.0, 1e-8) == relative_squares(0.99999, 1e-8) == pytest.approx(1.0)


def test_squares_of_text_are_relative_to_what_is_stored():
    # 1 / 100, one part in ten of which is 0.001: the square of a tenth. The least is a millionth.
    assert relative_squares(0.01, 1e-6, PERPLEXITY) == pytest.approx(0.01)
    assert relative_squares(0.0, 1e-12, PERPLEXITY) == pytest.approx(1.0)


def test_bounds_of_text_by_hand():
    # Noise of ln 4 over sqrt(4): the perplexity may be twice 100.
    assert training_bound(0.01, 4, noise=math.log(4), metric=PERPLEXITY) == pytest.approx(0.01 / 2)
    assert least_average(0.005, 4, noise=math.log(4), metric=PERPLEXITY) == pytest.approx(0.01)
    assert Uncertainty(math.log(4), None, PERPLEXITY).interval(0.01, 4, z=1.0) == pytest.approx((0.005, 0.02))
    # And 9 words, of 3 nats each: a factor e on either side.
    both = Uncertainty(math.log(4), 9, PERPLEXITY).interval(0.01, 4, z=1.0)
    assert both == pytest.approx((0.005 / math.e, 0.02 * math.e))
    assert Uncertainty(1.0, 9, PERPLEXITY).lower_bound(0.0, 1) == 0.0


@pytest.mark.parametrize(
    ("count", "total", "accuracies", "added"),
    [
        (0, 0.0, [0.75], 0.0),
        (0, 0.0, [0.25, 0.75], 2 * 0.25**2),
        (2, 1.0, [0.25, 0.75], 2 * 0.25**2),  # the means are equal
        (2, 1.0, [1.0], 0.5**2 * 2 * 1 / 3),
        (3, 0.75, [0.75, 1.0], 2 * 0.125**2 + 0.625**2 * 3 * 2 / 5),
    ],
)
def test_squares_that_are_added_by_hand(count, total, accuracies, added):
    assert added_squares(count, total, accuracies) == pytest.approx(added)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_squares_of_two_parts_are_those_of_the_whole(earlier, later):
    parts = added_squares(0, 0.0, earlier) + added_squares(len(earlier), math.fsum(earlier), later)
    assert parts == pytest.approx(added_squares(0, 0.0, earlier + later), abs=1e-12)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_wilson_holds_the_share_and_narrows_with_n(share, n):
    low, high = wilson(share, n)
    assert 0.0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1.0
    wider = wilson(share, max(1, n // 2))
    assert high - low <= wider[1] - wider[0] + 1e-12


@given(st.floats(0.01, 0.99), st.integers(1, 10**5))
def test_the_share_is_one_standard_error_above_the_lower_limit(share, n):
    """The inverse of Wilson's lower limit l: p = l + z sqrt(l (1 - l) / n)."""
    low = wilson(share, n, z=1.0)[0]
    assert low + math.sqrt(low * (1 - low) / n) == pytest.approx(share)


def test_at_least_counts_trainings_and_images_by_hand():
    # Half an error over e^0.1: after four trainings of noise 0.2 at least 0.5; and of 3 images, at least 0.25.
    average = 1 - 0.5 * math.exp(-0.1)
    assert Uncertainty(0.2, 3).lower_bound(average, 4) == pytest.approx(0.25)
    assert Uncertainty(0.2, None).lower_bound(average, 4) == pytest.approx(0.5)
    assert Uncertainty(None, 3).lower_bound(0.5, 4) == pytest.approx(0.25)
    assert Uncertainty(None, None).lower_bound(0.5, 4) is None


def test_after_one_perfect_training_on_180_pictures_at_least_is_180_of_181():
    assert Uncertainty(None, 180).lower_bound(1.0, 1) == pytest.approx(180 / 181)
    # Once something is known of the noise it is a little less, however small the noise.
    assert 180 / 181 - 1e-3 < Uncertainty(0.01, 180).lower_bound(1.0, 1) < 180 / 181


def test_a_hopeless_prefix_is_at_least_0():
    assert Uncertainty(2.0, None).lower_bound(0.0, 1) == 0.0
    assert Uncertainty(2.0, 100).lower_bound(0.0, 1) == pytest.approx(0.0)


def test_the_interval_by_hand():
    # Noise alone: an error of 0.1, times and over e^(1.96 * 0.2 / 2).
    low, high = Uncertainty(0.2, None).interval(0.9, 4)
    factor = math.exp(1.959964 * 0.1)
    assert (low, high) == (pytest.approx(1 - 0.1 * factor), pytest.approx(1 - 0.1 / factor))
    # Images alone: Wilson's own; both: Wilson's at either end.
    assert Uncertainty(None, 100).interval(0.5, 9) == wilson(0.5, 100)
    both = Uncertainty(0.2, 100).interval(0.9, 4)
    assert both == (pytest.approx(wilson(low, 100)[0]), pytest.approx(wilson(high, 100)[1]))
    assert Uncertainty(None, None).interval(0.9, 1) is None


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 50), st.floats(0, 2) | st.none(), st.integers(1, 10**5))
def test_images_change_no_order(one, other, count, noise, images):
    known = Uncertainty(noise, images)
    bounds = [known.training_bound(average, count) for average in (one, other)]
    shown = [known.lower_bound(average, count) for average in (one, other)]
    if bounds[0] <= bounds[1]:
        assert shown[0] <= shown[1] + 1e-12


def test_ties_go_to_the_average_then_to_fewer_parameters_then_to_the_older():
    lucky = replace(NODE, node_id=2, average_accuracy=0.95, training_bound=0.85)
    firm = replace(NODE, node_id=3, average_accuracy=0.9, training_bound=0.85)
    small = replace(firm, node_id=5, params=4)
    unknown = replace(firm, node_id=4, params=None)
    young = replace(firm, node_id=6)
    bare = replace(NODE, node_id=7, average_accuracy=0.86, training_bound=0.86)
    assert sorted([young, unknown, small, firm, lucky, bare], key=rank) == [bare, lucky, small, firm, young, unknown]


def test_a_prefix_without_errors_has_a_bound_below_1():
    # 1 - 0.0001 e^0.5
    assert training_bound(1.0, 1, noise=0.5) == pytest.approx(1.0 - 0.000164872, abs=1e-9)
