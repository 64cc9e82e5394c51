import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree import metric
from replaytree.config.objective import RewardKind
from replaytree.metric import ACCURACY, METRICS, PERPLEXITY, wilson


def test_every_task_has_its_metric():
    assert set(METRICS) == set(metric.TASKS)
    assert (metric.of("images"), metric.of("text")) == (ACCURACY, PERPLEXITY)


def test_what_a_search_is_rewarded_for_names_its_figures_and_not_those_of_its_models():
    assert {metric.of("images", reward).name for reward in get_args(RewardKind)} == {
        "accuracy", "balanced accuracy", "macro F1",
    }  # fmt: skip
    macro = metric.of("images", "macro-f1")
    assert (macro.title, macro.column, macro.a) == ("Macro F1", "macro_f1", "a macro F1")
    assert macro.of_models is ACCURACY
    assert metric.of("text", "accuracy").of_models is PERPLEXITY


def test_an_error_is_at_least_one_in_10000():
    assert metric.error(0.75) == 0.25
    assert metric.error(0.0) == 1.0
    assert metric.error(1.0) == metric.error(0.99995) == 1e-4


def test_values_of_accuracies_by_hand():
    assert ACCURACY.value(0.0) == 0.0
    assert ACCURACY.value(0.9) == pytest.approx(math.log(10))
    assert ACCURACY.value(1.0) == pytest.approx(4 * math.log(10))
    # Half of the error is gone in both.
    assert ACCURACY.value(0.99) - ACCURACY.value(0.98) == pytest.approx(math.log(2))
    assert ACCURACY.value(0.9) - ACCURACY.value(0.8) == pytest.approx(math.log(2))


def test_values_of_text_are_minus_the_loss_in_nats_a_word():
    assert PERPLEXITY.value(1 / 100) == pytest.approx(-math.log(100))
    assert PERPLEXITY.value(1.0) == 0.0
    # A tenth of the perplexity is gone in both, though 1/90 - 1/100 is twice 1/180 - 1/200.
    assert PERPLEXITY.value(1 / 90) - PERPLEXITY.value(1 / 100) == pytest.approx(math.log(10 / 9))
    assert PERPLEXITY.value(1 / 180) - PERPLEXITY.value(1 / 200) == pytest.approx(math.log(10 / 9))
    # A model that diverged is as bad as any other.
    assert PERPLEXITY.value(0.0) == PERPLEXITY.value(1e-9) == pytest.approx(-math.log(1e6))


@pytest.mark.parametrize("asked", METRICS.values())
def test_values_of_many_are_those_of_each(asked):
    fractions = np.array([0.0, 1e-7, 0.01, 0.3, 0.9, 0.99995, 1.0])
    assert asked.values(fractions) == pytest.approx([asked.value(each) for each in fractions])


@pytest.mark.parametrize(
    ("accuracy", "text"), [(0.98765, "0.9877"), (0.5, "0.5000"), (1.0, "1.0000"), (0.0, "0.0000"), (None, "-")]
)
def test_accuracies_shown(accuracy, text):
    assert ACCURACY.shown(accuracy) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.01, "100.00"),
        (1 / 62.357, "62.36"),
        (1.0, "1.00"),
        (1e-6, "1000000.00"),
        (1e-9, ">1e6"),
        (0.0, ">1e6"),
        (None, "-"),
    ],
)
def test_perplexities_shown(fraction, text):
    assert PERPLEXITY.shown(fraction) == text


def test_what_is_unknown_is_called_as_asked():
    assert ACCURACY.shown(None, unknown="unknown") == "unknown"


def test_numbers_for_figures_and_programs_are_finite():
    assert ACCURACY.numbers([0.5, None]) == [0.5, None]
    assert PERPLEXITY.numbers([0.01, None, 0.0]) == [pytest.approx(100.0), None, pytest.approx(1e6)]
    assert [PERPLEXITY.finite(each) for each in (0.01, None, 0.0)] == [pytest.approx(100.0), None, None]
    assert PERPLEXITY.fraction(PERPLEXITY.number(0.0125)) == pytest.approx(0.0125)


def test_sentences():
    assert (ACCURACY.rounded(0.98765), PERPLEXITY.rounded(1 / 62.357)) == ("0.988", "62.4")
    assert (ACCURACY.points(0.0123), ACCURACY.points(-0.5)) == ("1.2 points", "-50.0 points")
    assert PERPLEXITY.points(3.14) == "3.1 in perplexity"
    assert (ACCURACY.signed(-0.0123), PERPLEXITY.signed(3.14)) == ("\N{MINUS SIGN}1.2", "+3.1")
    assert (ACCURACY.ahead(0.0123), PERPLEXITY.ahead(0.0123)) == (
        "1.2 points above",
        "1.2 % lower in perplexity than",
    )


def test_intervals_of_perplexities_begin_at_the_lower_one():
    assert ACCURACY.span((0.6472, 0.7889)) == "0.647 \N{EN DASH} 0.789"
    assert PERPLEXITY.span((1 / 125, 1 / 80)) == "80.0 \N{EN DASH} 125.0"
    assert PERPLEXITY.span(None) == "unknown"


def test_the_sampling_error_by_hand():
    assert ACCURACY.sampling(0.72, 300) == wilson(0.72, 300)
    # 3 nats over sqrt(900) words: 0.1 a standard error.
    assert PERPLEXITY.sampling(0.01, 900, z=1.0) == pytest.approx((0.01 * math.exp(-0.1), 0.01 * math.exp(0.1)))
    assert PERPLEXITY.sampling(0.9, 9, z=2.0)[1] == 1.0
    with pytest.raises(ValueError, match="n is 0"):
        PERPLEXITY.sampling(0.01, 0)
    assert ACCURACY.variance(0.2) == pytest.approx(0.16)
    assert PERPLEXITY.variance(0.01) == pytest.approx(300.0**2)


@pytest.mark.parametrize("asked", METRICS.values())
@given(fraction=st.floats(1e-4, 1))
def test_shades_can_be_read_back(asked, fraction):
    assert asked.shaded(asked.shade(fraction)) == pytest.approx(fraction, abs=1e-9)


def test_equal_steps_of_shade_by_hand():
    # 0.002 is added to the errors 0.098 and 0.008.
    assert ACCURACY.shade(0.992) - ACCURACY.shade(0.902) == pytest.approx(1.0)
    assert PERPLEXITY.shade(0.01) - PERPLEXITY.shade(0.001) == pytest.approx(1.0)


def test_axes():
    assert ACCURACY.axis() == {"title_text": "accuracy", "tickformat": ".4~f", "range": None}
    # Ticks 0.2, 0.02, 0.005 and 0.002 apart read differently.
    ranges = [0.0, 1.0], [0.8, 0.95], [0.095, 0.13], [0.99, 1.0]
    assert [ACCURACY.axis(within=each)["tickformat"] for each in ranges] == [".2f", ".2f", ".3f", ".3f"]
    assert PERPLEXITY.axis("average perplexity")["type"] == "log"
    assert ACCURACY.window(0.5, 0.9, below=0.05) == pytest.approx([0.48, 0.932])
    assert ACCURACY.window(0.0, 1.0, below=0.35) == [0.0, 1.005]
    # From perplexity 10 to 1000, in decades: 8 % of two below, 5 % above.
    assert PERPLEXITY.window(0.001, 0.1, below=0.05) == pytest.approx([0.84, 3.1])
    assert ACCURACY.around([0.5, None, 0.5]) == pytest.approx([0.45, 0.55])
    assert ACCURACY.around([0.5, 0.6]) is None
    assert PERPLEXITY.around([0.01]) == pytest.approx([1.95, 2.05])
    assert PERPLEXITY.is_within(0.01, [1.9, 2.1])
    assert not PERPLEXITY.is_within(0.001, [1.9, 2.1])


def test_what_is_near_the_best():
    assert ACCURACY.is_near(0.795, 0.8)
    assert not ACCURACY.is_near(0.785, 0.8)
    assert PERPLEXITY.is_near(1 / 101.9, 1 / 100)
    assert not PERPLEXITY.is_near(1 / 102.1, 1 / 100)
