from dataclasses import replace
from itertools import pairwise
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replaytree import plot_pareto
from replaytree.errors import ConfigError
from replaytree.metric import ACCURACY
from replaytree.report.reading import read_search
from replaytree.report.sections.tradeoffs import (
    PARTS,
    SECTION,
    ParetoRow,
    _ticks,
    draw_pareto,
    pareto_finding,
    pareto_rows,
    shown_rows,
    tradeoffs,
)


def test_the_front_by_hand(grow, training):
    tree = grow([training((0, 0), 0.6, 0.7), training((2,), 0.5), training((1,), 0.65), training((0, 2), 0.6, 0.9)])
    rows = pareto_rows(read_search(tree), "params")
    # Two trainings of (0) agree, so the noise is nothing and the order that of the averages.
    # (0) 10: 0.6; (1) 20: 0.65; (0, 0) 20: 0.7; (2) 30: 0.5; (0, 2) 40: 0.9. Of the two for 20 the better is on it.
    assert [(row.cost, row.accuracy, row.on_front) for row in rows] == [
        (10, 0.6, True), (20, 0.7, True), (20, 0.65, False), (30, 0.5, False), (40, 0.9, True),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), max_size=60))
def test_nothing_beats_the_front(points):
    rows = []
    best = -1.0
    for cost, level in sorted(points, key=lambda p: (p[0], -p[1])):
        rows.append(ParetoRow(0, "", 1, cost, level / 20, level / 20, 20 - level, level / 20 > best))
        best = max(best, level / 20)
    front = [row for row in rows if row.on_front]
    for row in rows:
        dominated = any(o.cost <= row.cost and o.accuracy >= row.accuracy for o in front)
        assert dominated
    assert all(a.cost < b.cost and a.accuracy < b.accuracy for a, b in pairwise(front))


def test_drawing_fewer_points_keeps_the_front():
    rows = [ParetoRow(n, "", 1, n + 1, 0.5, 0.5, n * 7919 % 10_000, n % 97 == 0) for n in range(10_000)]
    shown = shown_rows(rows, most=500)
    assert len(shown) < 700
    assert {row.node_id for row in rows if row.on_front} <= {row.node_id for row in shown}


def test_plot_pareto_by_params_or_flops(tree):
    assert list(plot_pareto(tree).data[1].x) == [10]
    assert list(plot_pareto(tree, cost="flops").data[1].x) == [1000]
    with pytest.raises(ConfigError, match="one of params, flops, ram_bytes, flash_bytes"):
        plot_pareto(tree, cost="euros")


def test_the_axes_are_those_of_what_is_in_sight():
    """A network of 16 parameters below the drawing does not stretch its axis."""
    hopeless = ParetoRow(0, "", 1, 16, 0.1, 0.1, 30, True)
    rows = [hopeless, *(ParetoRow(n, "", 1, 1000 * n, 0.5, 0.6 + n / 1000, 30 - n, True) for n in range(1, 26))]
    layout = draw_pareto(rows, "params", ACCURACY).layout
    assert layout.yaxis.range[0] > hopeless.bound
    # The thousand to the 25 thousand, 1.398 decades, and a twentieth of that on either side.
    assert layout.xaxis.range == (pytest.approx(3 - 0.0699, abs=1e-3), pytest.approx(4.3979 + 0.0699, abs=1e-3))
    assert layout.yaxis.title.text == "accuracy, at least"
    # Nor do two of them, which are more than a twentieth: the quartiles of the rest are far above.
    twice = [hopeless, replace(hopeless, bound=0.2, cost=18), *rows[1:]]
    assert draw_pareto(twice, "params", ACCURACY).layout.xaxis.range == layout.xaxis.range
    free = [ParetoRow(0, "", 1, 0, 0.1, 0.1, 30, True)]
    assert draw_pareto(free, "params", ACCURACY).layout.xaxis.range is None


def test_the_front_ends_at_the_best_and_the_heading_speaks_of_it(grow, training):
    firm = [training((0,), a) for a in (0.84, 0.92, 0.84, 0.92)]
    data = read_search(grow([*firm, training((2,), 0.9), training((0, 1), 0.88, 0.89)]))
    rows = pareto_rows(data, "params")
    front = [row for row in rows if row.on_front]
    assert front[-1].node_id == data.best.node_id
    assert min(rows, key=lambda row: row.rank).labels == "conv1"
    assert (
        pareto_finding(rows, "params", ACCURACY) == "Nothing cheaper comes within a point of the best, at least 0.823"
    )


def test_the_heading_takes_the_cheapest_within_a_point():
    def rows(bound):
        return [ParetoRow(1, "", 1, 10, 0.8, bound, 1, True), ParetoRow(2, "", 1, 20, 0.81, 0.8, 0, True)]

    assert (
        pareto_finding(rows(0.7901), "params", ACCURACY)
        == "At least 0.790 accuracy for 10 parameters, at least 0.800 for 20"
    )
    assert (
        pareto_finding(rows(0.7899), "params", ACCURACY)
        == "Nothing cheaper comes within a point of the best, at least 0.800"
    )


def test_without_parameters_the_heading_speaks_of_flops_and_without_costs_there_is_none(grow, training):
    data = read_search(grow([training((0,), 0.8), training((1, 0), 0.5, 0.802)]))
    free = replace(data, nodes=tuple(replace(node, params=None) for node in data.nodes))
    found = tradeoffs(free)
    # Of one layer and of two, 1,000 FLOPs each: their bounds are less than a point apart.
    assert SECTION.finding(free, found).startswith("At least")
    assert " accuracy for 1k FLOPs, " in SECTION.finding(free, found)
    assert [section.rows(free) != [] for section in PARTS] == [False, True, False, False]
    assert tradeoffs(replace(free, nodes=tuple(replace(node, flops=None) for node in free.nodes))) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (14_500, 26_000, {"tickvals": [15_000, 20_000, 25_000]}),
        (228_000, 371_000, {"tickvals": [250_000, 300_000, 350_000]}),
        (5_900, 6_450, {"tickvals": [6_000, 6_200, 6_400]}),
        (10, 100, {"dtick": "D2"}),
        (10, 10_000, {"dtick": 1}),
    ],
)  # fmt: skip
def test_costs_that_are_alike_have_numbers_at_their_axis(low, high, expected):
    assert _ticks([log10(low), log10(high)]) == expected
