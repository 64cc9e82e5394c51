import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replaytree.deliver.pareto import latency_milliseconds, pareto_front


def test_by_hand():
    points = [(1, 5), (2, 2), (3, 3), (2, 2), (5, 1), (1, 6)]
    assert pareto_front(points, lambda point: point) == [(1, 5), (2, 2), (2, 2), (5, 1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_each_is_on_the_front_or_beaten_by_it(points):
    front = pareto_front(points, lambda point: point)
    assert bool(front) == bool(points)
    for point in points:
        beaten = any(other != point and all(o <= p for o, p in zip(other, point, strict=True)) for other in front)
        assert beaten == (point not in front)


def test_latency_is_a_time():
    assert latency_milliseconds(nn.Conv2d(1, 2, 3), (1, 8, 8), device=torch.device("cpu"), repeats=3) > 0.0
