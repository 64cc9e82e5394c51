import math

import numpy as np
import pytest

from replaytree import metric


def test_an_error_is_at_least_one_in_10000():
    assert metric.error(0.75) == 0.25
    assert metric.error(0.0) == 1.0
    assert metric.error(1.0) == metric.error(0.99995) == 1e-4


def test_values_by_hand():
    assert metric.value(0.0) == 0.0
    assert metric.value(0.9) == pytest.approx(math.log(10))
    assert metric.value(1.0) == pytest.approx(4 * math.log(10))
    # Half of the error is gone in both.
    assert metric.value(0.99) - metric.value(0.98) == pytest.approx(math.log(2))
    assert metric.value(0.9) - metric.value(0.8) == pytest.approx(math.log(2))


def test_values_of_many_are_those_of_each():
    accuracies = np.array([0.0, 0.3, 0.9, 0.99995, 1.0])
    assert metric.values(accuracies) == pytest.approx([metric.value(each) for each in accuracies])


@pytest.mark.parametrize(
    ("accuracy", "text"), [(0.98765, "0.9877"), (0.5, "0.5000"), (1.0, "1.0000"), (0.0, "0.0000"), (None, "-")]
)
def test_shown(accuracy, text):
    assert metric.shown(accuracy) == text


def test_what_is_unknown_is_called_as_asked():
    assert metric.shown(None, unknown="unknown") == "unknown"


def test_sentences():
    assert metric.rounded(0.98765) == "0.988"
    assert metric.points(0.0123) == "1.2 points"
    assert metric.points(-0.5) == "-50.0 points"
