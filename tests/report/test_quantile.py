import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree.report.quantile import quantile


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values, share):
    assert quantile(sorted(values), share) == pytest.approx(np.quantile(values, share), abs=1e-12)
