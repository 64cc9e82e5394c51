from replaytree.report.sections.costs import DepthCostRow, depth_cost_rows, draw_depth_cost


def test_what_each_depth_costs(data):
    assert depth_cost_rows(data) == [
        DepthCostRow(1, 1, 1.0, 1.0),
        DepthCostRow(2, 1, 2.0, 2.0),
        DepthCostRow(3, 2, 2.25, 4.5),
    ]


def test_the_figure_draws_the_medians(data):
    bars = draw_depth_cost(depth_cost_rows(data)).data[0]
    assert (list(bars.x), list(bars.y)) == ([1, 2, 3], [1.0, 2.0, 2.25])


def test_few_bars_do_not_fill_the_width():
    rows = [DepthCostRow(depth, 1, 1.0, 1.0) for depth in (4, 5, 6)]
    found = [draw_depth_cost(rows[:count]).layout.xaxis for count in (1, 2, 3)]
    assert [axis.range for axis in found] == [(1.5, 6.5), (1.5, 7.5), None]
    assert found[0].tickvals == (4,)
