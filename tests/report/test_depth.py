import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree import plot_depth
from replaytree.report.depth import DepthRow, depth_rows, quantile


def test_depths_at_the_largest_budget_by_hand(data):
    assert depth_rows(data) == [
        DepthRow(1, 2, 0.25, 0.375, 0.5, 0.625, 0.75, "conv1"),
        DepthRow(2, 1, 0.5, 0.5, 0.5, 0.5, 0.5, "conv1 res1"),
    ]


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values, share):
    assert quantile(sorted(values), share) == pytest.approx(np.quantile(values, share), abs=1e-12)


def test_the_figure_draws_the_rows(tree):
    box, line = plot_depth(tree).data
    assert list(box.median) == [0.5, 0.5]
    assert list(line.y) == [0.75, 0.5]
