import math
from dataclasses import replace

import pytest

from replaytree.tree import Node
from replaytree.tree.ranking import LEAST_ERROR, lower_bound, rank

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
    calibrated_accuracy=0.9,
)


def test_the_bound_by_hand():
    # An error of 0.1 whose deviation is a fifth of it: after four trainings a tenth of it, 0.1 * e^0.1.
    assert lower_bound(0.9, 4, noise=0.2) == pytest.approx(1 - 0.1 * math.exp(0.1))
    assert lower_bound(0.9, 4, noise=0.0) == pytest.approx(0.9)
    assert lower_bound(0.9, 4, noise=None) is None


def test_the_bound_rises_to_the_average_with_every_training():
    bounds = [lower_bound(0.9, n, noise=0.2) for n in (1, 2, 10, 100_000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(0.9, abs=1e-4)


def test_a_perfect_prefix_has_a_bound_below_1():
    assert lower_bound(1.0, 1, noise=0.5) == pytest.approx(1 - LEAST_ERROR * math.exp(0.5))


def test_ties_go_to_the_average_then_to_fewer_parameters_then_to_the_older():
    lucky = replace(NODE, node_id=2, calibrated_accuracy=0.95, lower_bound=0.85)
    firm = replace(NODE, node_id=3, calibrated_accuracy=0.9, lower_bound=0.85)
    small = replace(firm, node_id=5, params=4)
    unknown = replace(firm, node_id=4, params=None)
    young = replace(firm, node_id=6)
    bare = replace(NODE, node_id=7, calibrated_accuracy=0.86)
    assert sorted([young, unknown, small, firm, lucky, bare], key=rank) == [bare, lucky, small, firm, young, unknown]
